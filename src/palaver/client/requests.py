"""The requests on one network connection that have no answer yet. A new connection starts with none."""

from dataclasses import dataclass
from typing import Any, Literal

from palaver.client.outbox import Entry
from palaver.client.wire import encode

Kind = Literal["auth", "join", "page", "history", "send", "other"]  # "page": a room fills up by itself


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: what for, and since when (monotonic seconds) it waits."""

    kind: Kind
    at: float
    room: str = ""
    entry: Entry | None = None


class Requests:
    """Numbers requests and finds them again by the `re` of an answer."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}  # in the order in which they were asked
        self._count = 0

    def next_id(self) -> str:
        """An id that no other request of this client has or had."""
        self._count += 1
        return str(self._count)

    def ask(self, frame: str, fields: dict[str, Any], asked: Asked, re: str | None = None) -> bytes:
        """Encode a request and remember it."""
        question = re or self.next_id()
        self._asked[question] = asked
        return encode(frame, {"id": question, **fields})

    def answered(self, re: str | None) -> Asked | None:
        """The request that this answers, once; None where nobody waits for it."""
        return None if re is None else self._asked.pop(re, None)

    def oldest(self) -> float | None:
        """Since when the longest waiting request waits."""
        return next((asked.at for asked in self._asked.values()), None)

    def paging(self, room: str) -> bool:
        """Whether a page for this room is on its way."""
        return any(asked.kind == "page" and asked.room == room for asked in self._asked.values())

    def forget_pages(self, room: str) -> None:
        """The room is joined anew: a page that was asked for before must not be taken for a newer one."""
        for re in [re for re, asked in self._asked.items() if asked.kind == "page" and asked.room == room]:
            del self._asked[re]

    def clear(self) -> bool:
        """The connection is gone. Says whether anything was waiting."""
        waiting = bool(self._asked)
        self._asked.clear()
        return waiting
