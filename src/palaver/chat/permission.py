"""Whether somebody may do something in a room, and the refusal if not.

Refuses to do: deciding what rights a user has (palaver.chat.rights) and who is banned (palaver.chat.moderation).
"""

from palaver.chat.moderation import Moderation
from palaver.chat.names import room_problem
from palaver.chat.rights import Action
from palaver.chat.session import Session
from palaver.chat.state import State

_RESERVED = "~"  # rooms of the server itself: only an operator may enter


class Permission:
    """Each answer that is no has refused the request."""

    def __init__(self, state: State, moderation: Moderation) -> None:
        self._state = state
        self._moderation = moderation

    def may(self, session: Session, re: str, action: Action, room: str, now: float) -> bool:
        """Whether the user's rights allow this in the room."""
        problem = room_problem(room)
        if problem is not None:
            self._state.refuse(session, re, "invalid_room", problem, now, field="room")
            return False
        reserved = room.startswith(_RESERVED) and not session.rights.operator
        if reserved or not session.rights.allows(action, room):
            self._state.refuse(
                session, re, "forbidden", f"You may not {action} {'' if action == 'join' else 'in '}{room}.", now
            )
            return False
        return True

    def may_read(self, session: Session, re: str, room: str, now: float) -> bool:
        """Whether the user may enter the room and read what is kept of it."""
        assert session.person is not None
        if not self.may(session, re, "join", room, now):
            return False
        if self._moderation.is_banned(room, session.person.user.id, now):
            self._state.refuse(session, re, "forbidden", f"You are banned from {room}.", now)
            return False
        return True
