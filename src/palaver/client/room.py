"""One joined room as its reader sees it: every message once, in order, and a Gap wherever some are gone for good.

    phase     waits for                                          next
    APART     the connection (or a time to try again)             JOINING
    JOINING   the answer to `join`                                LIVE, FILLING, BEHIND or ENDED
    LIVE      pushes; a hole in them                              FILLING
              a full inbox                                        BEHIND
              another epoch                                       APART
    BEHIND    the reader to take half of the inbox                FILLING
    FILLING   a page of history                                   LIVE, FILLING (more is missing) or BEHIND
    any       the connection lost: APART · left or refused: ENDED

Invariants: `position` is the last message that went into the inbox, so `since` loses nothing however far behind the
reader is; the inbox holds at most `capacity` events and one Gap; while pages are fetched, pushes only move `head`,
because the pages will have them.

Refuses to do: IO, clocks, frames.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto

from palaver.chat.records import Message, Position, User
from palaver.client.errors import ClientError
from palaver.client.events import Deleted, Event, Gap, Presence, Typing
from palaver.client.wire import HistoryAck, JoinAck, PresencePush, WireGap


class Phase(Enum):
    """Where a room is; the table is above."""

    APART = auto()
    JOINING = auto()
    LIVE = auto()
    BEHIND = auto()
    FILLING = auto()
    ENDED = auto()


class Reading:
    """The reader's side of one room. Its one owner is the Connection."""

    def __init__(self, name: str, *, since: Position | None, history: bool, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"A room's inbox holds at least 1 event, not {capacity}.")
        self.name = name
        self.phase = Phase.APART
        self.position = since
        self.head = since.seq if since is not None else 0
        self.members: dict[str, User] = {}
        self.member_count = 0
        self.inbox: deque[Event] = deque()
        self.retry_at = 0.0
        self.error: ClientError | None = None
        self.joined_before = False
        self._history = history
        self._head_asked = 0  # what `head` was when a page was asked for: the page has everything up to there
        self._capacity = capacity

    def __repr__(self) -> str:
        return f"<Reading {self.name} {self.phase.name} at {self.position} of {self.head}, {len(self.inbox)} unread>"

    @property
    def present(self) -> bool:
        """The server has this connection in the room."""
        return self.phase in {Phase.LIVE, Phase.BEHIND, Phase.FILLING}

    def joined(self, ack: JoinAck) -> None:
        """The room's picture arrived."""
        self.members = {user.id: user for user in ack.members}
        self.member_count = ack.member_count
        self.joined_before = True
        since, self.head = self.position, ack.seq
        self.phase = Phase.LIVE
        if since is None:
            shown = ack.messages if self._history else []
            first = shown[0].seq - 1 if shown else ack.seq
            self.position = Position(ack.epoch, first)
            self._advance(shown)
        elif ack.epoch != since.epoch or (ack.gap is not None and ack.gap.reason == "epoch"):
            self._start_anew(ack)
        elif ack.gap is None:
            self._advance(ack.messages)
        elif ack.gap.reason == "retention" and len(self.inbox) < self._capacity:
            self._miss(ack.gap.last)
            self._advance(ack.messages)
        else:
            self.phase = Phase.FILLING  # what the reply left out is still kept, or comes to light page by page
        self._catch_up_or_wait()

    def pushed(self, message: Message) -> None:
        """A message arrived as a push."""
        if not self.present or self.position is None:
            return
        if message.epoch != self.position.epoch:
            self.phase = Phase.APART  # a join says what happened to the numbering
            return
        self.head = max(self.head, message.seq)
        if self.phase is Phase.LIVE:
            self._advance([message])
            self._catch_up_or_wait()

    def page_after(self) -> int:
        """A page is asked for now: the `seq` after which it begins."""
        assert self.position is not None, "a position comes with the first join"
        self._head_asked = self.head
        return self.position.seq

    def paged(self, ack: HistoryAck) -> None:
        """The page after `position` arrived."""
        if self.phase is not Phase.FILLING or self.position is None:
            return
        epochs = {message.epoch for message in ack.messages}
        if ack.epoch is not None:
            epochs.add(ack.epoch)
        if epochs - {self.position.epoch}:
            self.phase = Phase.APART
            return
        later = [message for message in ack.messages if message.seq > self.position.seq]
        if later and later[0].seq > self.position.seq + 1:
            self._miss(later[0].seq - 1)
        self._advance(later)
        if (ack.complete or not later) and self.phase is Phase.FILLING:
            self._miss(self._head_asked)
        self._catch_up_or_wait()

    def presence(self, push: PresencePush) -> None:
        """Somebody came or went."""
        for user in push.left:
            self.members.pop(user.id, None)
        for user in push.joined:
            self.members[user.id] = user
        self.member_count = len(self.members) if push.member_count is None else push.member_count
        self.hint(Presence(self.name, push.joined, push.left))

    def hint(self, event: Presence | Typing | Deleted) -> None:
        """Queue what may be dropped for a reader that is slow; messages keep half of the inbox to themselves."""
        if self.present and len(self.inbox) < self._capacity // 2:
            self.inbox.append(event)

    def take(self) -> Event | None:
        """The next event, or None. The reader that has caught up by half makes the room fetch what it missed."""
        if not self.inbox:
            return None
        event = self.inbox.popleft()
        if self.phase is Phase.BEHIND and len(self.inbox) <= self._capacity // 2:
            self.phase = Phase.FILLING
        return event

    def apart(self, retry_at: float = 0.0) -> None:
        """Not in the room any more, as far as the server knows; to be joined again, not before `retry_at`."""
        if self.phase is not Phase.ENDED:
            self.phase = Phase.APART
            self.retry_at = retry_at

    def end(self, error: ClientError | None) -> None:
        """Nothing follows what is in the inbox; the reader then gets `error`, or just the end."""
        if self.phase is not Phase.ENDED:
            self.phase, self.error = Phase.ENDED, error

    def _advance(self, messages: Sequence[Message]) -> None:
        """Queue each message that is the next one. Stops at a full inbox (BEHIND) or a hole (FILLING)."""
        assert self.position is not None, "a position comes with the first join"
        for message in messages:
            if message.seq <= self.position.seq:
                continue
            if message.seq != self.position.seq + 1:
                self.phase = Phase.FILLING
                return
            if len(self.inbox) >= self._capacity:
                self.phase = Phase.BEHIND
                return
            self.inbox.append(message)
            self.position = Position(self.position.epoch, message.seq)

    def _catch_up_or_wait(self) -> None:
        """Settle in the phase that fits: LIVE with nothing missing, otherwise FILLING or, with a full inbox, BEHIND."""
        assert self.position is not None, "a position comes with the first join"
        if self.phase is Phase.APART:
            return
        if self.position.seq >= self.head:
            self.phase = Phase.LIVE
        else:
            self.phase = Phase.BEHIND if len(self.inbox) >= self._capacity else Phase.FILLING

    def _miss(self, last: int) -> None:
        """Say that everything up to `last` is gone."""
        assert self.position is not None, "a position comes with the first join"
        if last > self.position.seq:
            self._queue_gap(Gap(self.name, self.position.seq + 1, last, "retention"))
            self.position = Position(self.position.epoch, last)

    def _start_anew(self, ack: JoinAck) -> None:
        gap = ack.gap or WireGap(1, ack.messages[0].seq - 1 if ack.messages else ack.seq, "epoch")
        self._queue_gap(Gap(self.name, gap.first, gap.last, "epoch"))
        self.position = Position(ack.epoch, max(0, gap.last))
        self._advance(ack.messages)

    def _queue_gap(self, gap: Gap) -> None:
        """Neighbouring gaps become one, so that they cannot fill the inbox of a reader that reads nothing."""
        before = self.inbox[-1] if self.inbox else None
        if isinstance(before, Gap) and before.reason == gap.reason == "epoch":
            self.inbox.pop()
        elif isinstance(before, Gap) and before.last + 1 == gap.first:
            self.inbox.pop()
            gap = Gap(gap.room, before.first, gap.last, before.reason)
        self.inbox.append(gap)
