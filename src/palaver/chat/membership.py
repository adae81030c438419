"""Who is in which room, and how the others hear of it: a join once, a leave once, collected into batches.

A user is in a room on one or more connections. When the last one goes without saying `leave`, the place is kept for
the grace period, so that a reconnect is no event for anybody else. A push costs a write for each member, so in large
rooms changes are collected for longer, and so they are where many rooms change at once: all rooms of a node together
are told of changes no faster than `_AT_ONCE` members in each presence interval (10,000 a second with the default).

Refuses to do: rights, messages. Invariants: the others hear of a user at most one join before each leave; a room with
nobody in it is not in memory.
"""

from typing import NamedTuple

from palaver.chat import replies
from palaver.chat.effects import Subscribe, Unsubscribe, Urgency
from palaver.chat.people import Person
from palaver.chat.rooms import Member, Room
from palaver.chat.session import Session
from palaver.chat.state import State

_ROOM_AT_ONCE, _AT_ONCE = 100, 1_000  # members told of changes in one presence interval: of a room, of all rooms


class Grace(NamedTuple):
    """The timer that ends a place kept for somebody without a connection."""

    room: str
    user: str


class PresencePush(NamedTuple):
    """The timer that tells a room who came and went."""

    room: str


class Membership:
    """The one writer of rooms' members and of sessions' rooms."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._told_at = 0.0  # monotonic: when every push that is due by now will have been made, at that pace

    def enter(self, session: Session, room: Room, now: float) -> None:
        """Put a connection into a room. It gets broadcasts from here on."""
        person = session.person
        assert person is not None
        member = room.members.get(person.user.id)
        if member is None:
            member = room.members[person.user.id] = Member(person)
            person.places += 1
            room.enlist(person.user, self._state.settings.presence_members)
            room.note_joined(person.user)
            self._push_later(room, now)
        if member.leaves_at is not None:
            member.leaves_at = None
            self._state.timers.cancel(Grace(room.name, person.user.id))
        if room.name not in session.rooms:
            member.sessions.append(session)
            session.rooms[room.name] = room
        self._state.out.append(Subscribe(session.connection, room.name))

    def leave(self, session: Session, room: Room, now: float, *, grace: bool) -> None:
        """Take a connection out of a room; with `grace`, the user's place is kept for a while."""
        person = session.person
        assert person is not None
        del session.rooms[room.name]
        self._state.out.append(Unsubscribe(session.connection, room.name))
        member = room.members[person.user.id]
        member.sessions.remove(session)
        if member.sessions:
            return
        seconds = self._state.settings.leave_grace_seconds
        if grace and seconds > 0:
            member.leaves_at = now + seconds
            self._state.timers.set(Grace(room.name, person.user.id), member.leaves_at)
        else:
            self.expel(room, member, now)

    def grace_over(self, key: Grace, now: float) -> None:
        """Nobody came back in time."""
        room = self._state.rooms.get(key.room)
        member = room.members.get(key.user) if room is not None else None
        if room is not None and member is not None and not member.sessions:
            self.expel(room, member, now)

    def rename(self, person: Person, now: float) -> None:
        """Tell each room a person is in that their name is another now."""
        for room in self._state.rooms.values():
            if person.user.id in room.members:
                room.roll = None
                room.note_renamed(person.user)
                self._push_later(room, now)

    def push(self, key: PresencePush, now: float) -> None:
        """Tell a room who came and went since the last time."""
        room = self._state.rooms.get(key.room)
        if room is None or not room.changes:
            return
        joined = [user for change, user in room.changes.values() if change != "left"]
        left = [user for change, user in room.changes.values() if change == "left"]
        room.changes.clear()
        count = len(room.members)
        if count > self._state.settings.presence_members:
            joined = left = []
        room.last_broadcast = now
        self._state.broadcast(room.name, replies.Presence(room.name, joined, left, count), Urgency.PRESENCE)

    def drop_if_empty(self, room: Room) -> None:
        """Free the memory of a room that nobody is in."""
        if room.empty and self._state.rooms.get(room.name) is room:
            del self._state.rooms[room.name]
            self._state.timers.cancel(PresencePush(room.name))

    def expel(self, room: Room, member: Member, now: float) -> None:
        """Take a user without a connection out of a room at once."""
        user = member.person.user
        del room.members[user.id]
        room.roll = None
        self._state.timers.cancel(Grace(room.name, user.id))
        member.person.places -= 1
        self._state.people.forget_if_absent(member.person)
        room.note_left(user)
        self._push_later(room, now)
        self.drop_if_empty(room)

    def _push_later(self, room: Room, now: float) -> None:
        key = PresencePush(room.name)
        if self._state.timers.is_set(key):
            return
        members, interval = len(room.members), self._state.settings.presence_interval_seconds
        self._told_at = max(self._told_at, now) + interval * members / _AT_ONCE
        self._state.timers.set(key, max(now + interval * max(1.0, members / _ROOM_AT_ONCE), self._told_at))
