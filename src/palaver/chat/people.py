"""Who is present, under which name, and how a guest proves to be the same guest.

A person is present while they have a connection or a place in a room (a place outlives the last connection by the
grace period). Refuses to do: tokens (palaver.server.identity), rooms. Invariants: no two guests who are present have
names that look alike; a person who is not present costs nothing.
"""

import hmac
import string
from collections.abc import Callable, Iterator

from palaver.chat.names import skeleton
from palaver.chat.records import User
from palaver.chat.session import Session

# Under these the server and its models speak.
_RESERVED = frozenset(map(skeleton, ("Palaver", *(f"Answer {letter}" for letter in string.ascii_uppercase))))


class Person:
    """Somebody present. `places` counts rooms, `sessions` holds the live connections."""

    __slots__ = ("guest", "places", "sessions", "skeleton", "user")

    def __init__(self, user: User, *, guest: bool) -> None:
        self.user = user
        self.guest = guest
        self.skeleton = skeleton(user.name)
        self.sessions: list[Session] = []  # a list: nearly always one, and smaller than a set
        self.places = 0


class People:
    """Everybody present on this node."""

    def __init__(self, secret: bytes, entropy: Callable[[int], bytes]) -> None:
        self._secret = secret
        self._entropy = entropy
        self._people: dict[str, Person] = {}
        self._names: dict[str, str] = {}  # skeleton of a name -> id of who has it

    def __len__(self) -> int:
        return len(self._people)

    def __iter__(self) -> Iterator[Person]:
        return iter(self._people.values())

    def get(self, user_id: str) -> Person | None:
        """The person, if present."""
        return self._people.get(user_id)

    def is_free(self, name: str, user_id: str | None = None) -> bool:
        """Whether a guest may be called this: nobody else present has a name that looks the same."""
        plain = skeleton(name)
        return plain not in _RESERVED and self._names.get(plain, user_id) == user_id

    def new_guest_id(self) -> str:
        """An id that nobody ever had."""
        return "u-" + self._entropy(10).hex()

    def session_secret(self, user_id: str) -> str:
        """What a guest keeps to be the same user again, on any node that knows the secret, also after a restart."""
        return f"{user_id}.{self._sign(user_id)}"

    def guest_of(self, session_secret: str) -> str | None:
        """The id that a session secret was made for, or None if it was not made here."""
        user_id, _, signature = session_secret.rpartition(".")
        return user_id if hmac.compare_digest(signature.encode(), self._sign(user_id).encode()) else None

    def arrive(self, user: User, session: Session, *, guest: bool) -> tuple[Person, bool]:
        """Add a connection of a user; says also whether the user's name changed with it."""
        person = self._people.get(user.id)
        if person is None:
            person = self._people[user.id] = Person(user, guest=guest)
            self._names.setdefault(person.skeleton, user.id)
            renamed = False
        else:
            renamed = self.rename(person, user)
        person.sessions.append(session)
        return person, renamed

    def depart(self, person: Person, session: Session) -> None:
        """Take a connection away."""
        person.sessions.remove(session)
        self.forget_if_absent(person)

    def forget_if_absent(self, person: Person) -> None:
        """Free the name of somebody with neither a connection nor a place in a room."""
        if person.sessions or person.places:
            return
        del self._people[person.user.id]
        self._free_name(person)

    def rename(self, person: Person, user: User) -> bool:
        """Take over a user's present name; says whether it changed."""
        if person.user.name == user.name:
            return False
        self._free_name(person)
        person.user, person.skeleton = user, skeleton(user.name)
        self._names.setdefault(person.skeleton, user.id)
        return True

    def _free_name(self, person: Person) -> None:
        if self._names.get(person.skeleton) == person.user.id:
            del self._names[person.skeleton]

    def _sign(self, user_id: str) -> str:
        return hmac.digest(self._secret, b"guest session\0" + user_id.encode(), "sha256").hex()[:40]
