"""The client's core: decides, and does nothing. Feed it what happened, then do what `effects()` returns.

    connection.start(now); connection.opened(link, now); connection.received(link, data, now); connection.lost(link, …)
    connection.join(…); connection.post(…); connection.take(…)          what the program wants
    connection.tick(now) at connection.deadline()                       what the time wants
    for effect in connection.effects(): …                               after each of them

It stands on the Exchange (what is written and what comes in), which stands on the Lifeline (one network connection
after the other).

Refuses to do: IO, clocks, tasks, randomness. Invariants: every posted message is resolved exactly once; inputs of an
earlier link are ignored; after ENDED nothing is asked for any more.
"""

from palaver.chat.records import Position
from palaver.client.effects import Effect
from palaver.client.errors import ClientError, Closed, NotJoined, ProtocolError, Refused
from palaver.client.events import Event, Link, User
from palaver.client.exchange import Exchange
from palaver.client.requests import Asked
from palaver.client.room import Phase, Reading
from palaver.client.wire import Hello


class Connection(Exchange):
    """The core. One instance for the life of a client, over any number of network connections."""

    # ---- what happened ---------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin to connect."""
        self._line.start(now)
        self._settle(now)

    def opened(self, link: int, now: float) -> None:
        """The network connection of this link is open."""
        if link == self._link and self._line.state is Link.DIALLING:
            self._line.opened(now)
            self._settle(now)

    def received(self, link: int, data: bytes | str, now: float) -> None:
        """One text frame arrived. A frame that is not protocol version 1 makes the link be replaced, never an error."""
        if link != self._link or not self._line.connected:
            return
        self._line.heard(now)
        try:
            self._receive(data, now)
        except ProtocolError as error:
            self._line.last_error = Refused("protocol", str(error))
            self._line.broken(now)
        self._settle(now)

    def lost(self, link: int, code: int | None, reason: str, now: float) -> None:
        """The network connection is gone or was never made. `code` is None where there was no close frame."""
        if link == self._link:
            self._line.lost(code, reason, now)
            self._settle(now)

    def renewed(self, token: str, now: float) -> None:
        """The answer to Renew."""
        self._line.renewed(token, now)
        self._settle(now)

    def renewal_failed(self, reason: str, now: float) -> None:
        """The answer to Renew."""
        self._line.renewal_failed(reason, now)
        self._settle(now)

    def tick(self, now: float) -> None:
        """The time is `now`. To be called at `deadline()`; earlier does no harm."""
        self._line.tick(now)
        oldest = self._requests.oldest()
        if oldest is not None and oldest + self._policy.answer_timeout <= now:
            self._line.broken(now)
        self._resolve(self._outbox.expire(now))
        self._settle(now)

    def deadline(self, now: float) -> float | None:
        """When to call `tick` next."""
        times = [self._line.deadline(), self._outbox.deadline(self._open_rooms(), now)]
        oldest = self._requests.oldest()
        if oldest is not None:
            times.append(oldest + self._policy.answer_timeout)
        if self._line.state is Link.READY:
            times.extend(room.retry_at for room in self.rooms.values() if room.phase is Phase.APART)
        return min((time for time in times if time is not None), default=None)

    # ---- what the program wants ------------------------------------------------------------------------------------

    def join(self, name: str, *, since: Position | None, history: bool, now: float) -> Reading:
        """Be in a room from now on, over every reconnect. A room that is joined already is returned as it is."""
        reading = self.rooms.get(name)
        if reading is None:
            reading = Reading(name, since=since, history=history, capacity=self._policy.inbox)
            if self._line.state is Link.ENDED:
                reading.end(self._line.error)
            else:
                self.rooms[name] = reading
                self._settle(now)
        return reading

    def leave(self, name: str, now: float) -> None:
        """Be in the room no longer. Queued messages are given back as NotSent. Idempotent."""
        reading = self.rooms.pop(name, None)
        if reading is None:
            return
        if reading.present or reading.phase is Phase.JOINING:
            self._ask("leave", {"room": name}, Asked("other", now))
        self._end_room(reading, None, "the room was left")
        self._settle(now)

    def post(self, room: str, text: str, cid: str, *, expires_at: float | None, now: float) -> None:
        """Say something, as soon as may be. Its one Resolve follows.

        Raises:
            NotJoined, OutboxFull, Closed: nothing was queued.
            ValueError: the text has a lone surrogate, or the `cid` is on its way already.
        """
        if self._line.state is Link.ENDED:
            raise self._line.error or Closed(None, "the chat is closed")
        if room not in self.rooms:
            raise NotJoined(room)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"The text cannot be sent: {error}.") from None
        self._outbox.post(room, text, cid, expires_at)
        self._settle(now)

    def withdraw(self, cid: str, now: float) -> None:
        """Give a message up; nothing happens if it is settled."""
        settled = self._outbox.withdraw(cid, "it was withdrawn")
        self._resolve([] if settled is None else [settled])
        self._settle(now)

    def history(self, room: str, *, before: int | None, after: int | None, limit: int, now: float) -> str:
        """Ask for a page; returns the question's id, which the one Answer carries. Asked again after a reconnect."""
        if self._line.state is Link.ENDED:
            raise self._line.error or Closed(None, "the chat is closed")
        if len(self._questions) >= self._policy.questions:
            raise ClientError(f"{self._policy.questions} calls of history() are waiting already: await some of them.")
        question = self._requests.next_id()
        fields = self._questions[question] = {"room": room, "before": before, "after": after, "limit": limit}
        if self._line.state is Link.READY:
            self._ask("history", fields, Asked("history", now, room), question)
        return question

    def forget(self, question: str) -> None:
        """Nobody waits for this answer any more."""
        self._questions.pop(question, None)

    def typing(self, room: str, now: float) -> None:
        """Tell the others that the user is writing; dropped where the room is not joined just now."""
        reading = self.rooms.get(room)
        if reading is not None and reading.present:
            self._ask("typing", {"room": room}, Asked("other", now))

    def take(self, reading: Reading, now: float) -> Event | None:
        """The next event of a room, or None if there is none now."""
        event = reading.take()
        if reading.phase is Phase.FILLING:
            self._settle(now)
        return event

    def close(self, now: float) -> None:
        """End. What is unsettled is resolved at once, as NotSent or Unknown."""
        self._line.close()
        self._settle(now)

    def effects(self) -> list[Effect]:
        """What is to be done now, in this order; each effect is returned once."""
        out, self._out = self._out, []
        return out

    @property
    def state(self) -> Link:
        """The state of the link."""
        return self._line.state

    @property
    def user(self) -> User | None:
        """Who the server says we are; None before the first answer."""
        return self._line.user

    @property
    def hello(self) -> Hello | None:
        """The newest hello of the server."""
        return self._line.hello

    @property
    def error(self) -> Closed | None:
        """Why it ended, where it was not the program's wish."""
        return self._line.error

    @property
    def dial_at(self) -> float | None:
        """When the next attempt is made, where the link is WAITING."""
        return self._line.dial_at

    @property
    def last_error(self) -> Refused | None:
        """The newest error that was not the answer to a request of the program."""
        return self._line.last_error

    @property
    def session(self) -> str | None:
        """A guest's secret, with which another client can be the same user."""
        return self._line.identity.session
