"""What moderators decide: kick, ban, mute, slow mode, deleted messages. And whether a decision stands in the way.

A decision takes effect at once and is acknowledged when the log has kept it. Refuses to do: rights by role or token
(palaver.chat.rights). Invariant: of two decisions about the same thing the later one holds, on every node.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from palaver.chat import replies, requests
from palaver.chat.effects import Redact, Redacted, Save, Saved, Send, Urgency
from palaver.chat.errors import CLOSES
from palaver.chat.membership import Membership
from palaver.chat.records import Message, Sanction
from palaver.chat.rooms import Room
from palaver.chat.session import Session
from palaver.chat.state import State

Decision = (
    requests.Kick | requests.Ban | requests.Unban | requests.Mute | requests.Unmute | requests.Delete | requests.Slow
)
_REMOVED = 4001
_message = msgspec.json.Decoder(Message)


class Moderation:
    """The one writer of sanctions."""

    def __init__(self, state: State, membership: Membership, sanctions: Iterable[Sanction]) -> None:
        self._state = state
        self._membership = membership
        self._sanctions: dict[tuple[str, str, str], Sanction] = {}
        self.rooms: set[str] = set()  # of which something was ever decided: no other needs to be asked about
        self.removed: list[Session] = []  # whom the engine must close; drained by it after each call
        for sanction in sanctions:
            self._keep(sanction)

    def is_banned(self, room: str, user: str, now: float) -> bool:
        """Whether the user may not enter the room."""
        return self._standing("ban", room, user, now) is not None

    def silences(self, room: str, user: str, now: float) -> bool:
        """Whether the user may not speak in the room, muted or banned."""
        return self._standing("mute", room, user, now) is not None or self.is_banned(room, user, now)

    def pause_seconds(self, room: str, now: float) -> float:
        """Slow mode: how long a user waits between two messages; 0.0 without."""
        sanction = self._standing("slow", room, "", now)
        return sanction.seconds if sanction else 0.0

    def listed(self, room: str, now: float) -> list[Sanction]:
        """What stands in a room, for those who moderate it."""
        wall_ms = self._state.wall_ms(now)
        return [one for one in self._sanctions.values() if one.room == room and _stands(one, wall_ms)]

    def may_decide(self, session: Session, request: Decision, now: float) -> bool:
        """Whether the user moderates the room, or deletes what they wrote themselves."""
        if session.rights.allows("moderate", request.room):
            return True
        room = self._state.rooms.get(request.room)
        if room is None or not isinstance(request, requests.Delete) or session.person is None:
            return False
        kept = room.ring.get(request.seq, self._state.wall_ms(now))
        return kept is not None and _message.decode(kept.frame).user.id == session.person.user.id

    def decide(self, session: Session, request: Decision, now: float) -> None:
        """Carry out a moderator's request. The right to it was checked."""
        match request:
            case requests.Kick() if not self._is_member(request.room, request.user):
                text = f"{request.user} is not in {request.room}; `members` of the room have the ids."
                self._state.refuse(session, request.id, "not_found", text, now, field="user")
            case requests.Kick():
                self._remove(request.room, request.user, "kicked", request.reason, now)
                self._state.send(session, replies.RoomAck(request.id, request.room), now)
            case requests.Ban() | requests.Unban():
                self._sanction(session, request, "ban", now)
            case requests.Mute() | requests.Unmute():
                self._sanction(session, request, "mute", now)
            case requests.Delete():
                self._state.out.append(Redact(session.connection, request.id, request.room, request.seq))
            case requests.Slow():
                self._sanction(session, request, "slow", now)

    def saved(self, result: Saved, now: float) -> None:
        """The log keeps a decision: acknowledge it and tell whom it concerns."""
        sanction, session = result.job.sanction, self._state.sessions.get(result.job.connection)
        if session is not None:
            self._state.send(session, replies.RoomAck(result.job.re, sanction.room), now)
        room = self._state.rooms.get(sanction.room)
        if room is None:
            return
        if sanction.kind == "slow":
            notice = replies.Notice("slow", after_ms=int(sanction.seconds * 1000), room=room.name)
            self._state.broadcast(room.name, notice, Urgency.PRESENCE)
        elif sanction.kind == "mute":
            self._tell(room, sanction.user, "muted" if sanction.active else "unmuted", sanction.reason)

    def redacted(self, result: Redacted, now: float) -> None:
        """The log has a tombstone in the message's place: show it."""
        job, message = result.job, result.message
        session = self._state.sessions.get(job.connection)
        if message is None:
            if session is not None:
                self._state.refuse(session, job.re, "not_found", f"Message {job.seq} is not kept.", now, field="seq")
            return
        room = self._state.rooms.get(job.room)
        if room is not None:
            room.ring.replace(message)
            deleted = replies.Deleted(room.name, message.seq, message.epoch, message.mid)
            self._state.broadcast(room.name, deleted, Urgency.PRESENCE)
        if session is not None:
            self._state.send(session, replies.RoomAck(job.re, job.room), now)

    def _sanction(
        self,
        session: Session,
        request: requests.Ban | requests.Unban | requests.Mute | requests.Unmute | requests.Slow,
        kind: Literal["ban", "mute", "slow"],
        now: float,
    ) -> None:
        assert session.person is not None
        wall_ms = self._state.wall_ms(now)
        seconds = getattr(request, "seconds", None)
        lasts = seconds is not None and kind != "slow"
        before = self._sanctions.get((kind, request.room, getattr(request, "user", "")))
        sanction = Sanction(
            kind=kind,
            room=request.room,
            user=getattr(request, "user", ""),
            active=not isinstance(request, requests.Unban | requests.Unmute) and seconds != 0,
            until=wall_ms + int((seconds or 0) * 1000) if lasts else None,
            seconds=seconds or 0.0 if kind == "slow" else 0.0,
            by=session.person.user.id,
            reason=getattr(request, "reason", ""),
            at=max(wall_ms, before.at + 1 if before else 0),
        )
        self._keep(sanction)
        self._state.out.append(Save(session.connection, request.id, sanction))
        if kind == "ban" and sanction.active:
            self._remove(sanction.room, sanction.user, "banned", sanction.reason, now)

    def _is_member(self, room_name: str, user: str) -> bool:
        room = self._state.rooms.get(room_name)
        return room is not None and user in room.members

    def _remove(self, room_name: str, user: str, code: str, reason: str, now: float) -> None:
        room = self._state.rooms.get(room_name)
        member = room.members.get(user) if room is not None else None
        if room is None or member is None:
            return
        self._tell(room, user, code, reason)
        for session in list(member.sessions):
            self._membership.leave(session, room, now, grace=False)
            text = f"You were {code} from {room_name}{': ' + reason if reason else ''}. {CLOSES[_REMOVED].when}"
            self._state.refuse(session, None, "forbidden", text, now, room=room_name)
            self.removed.append(session)
        if user in room.members:  # only a place kept by the grace period
            self._membership.expel(room, room.members[user], now)

    def _tell(self, room: Room, user: str, code: str, reason: str) -> None:
        member = room.members.get(user)
        if member is None:
            return
        frame = replies.encode(replies.Notice(code, room=room.name, message=reason))
        self._state.frames[replies.Notice] += len(member.sessions)
        self._state.out.extend(Send(session.connection, frame) for session in member.sessions)

    def _keep(self, sanction: Sanction) -> None:
        key = (sanction.kind, sanction.room, sanction.user)
        known = self._sanctions.get(key)
        if known is None or known.at < sanction.at:
            self._sanctions[key] = sanction
            self.rooms.add(sanction.room)

    def _standing(self, kind: str, room: str, user: str, now: float) -> Sanction | None:
        sanction = self._sanctions.get((kind, room, user))
        return sanction if sanction is not None and _stands(sanction, self._state.wall_ms(now)) else None


def _stands(sanction: Sanction, wall_ms: int) -> bool:
    return sanction.active and (sanction.until is None or sanction.until > wall_ms)
