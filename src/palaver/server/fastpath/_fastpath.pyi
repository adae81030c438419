from collections.abc import Callable, Sequence
from typing import Self

from palaver.chat.effects import LogResult
from palaver.chat.state import State
from palaver.server.fanout import Fanout
from palaver.server.fanout_room import Reader
from palaver.server.performer import Performer
from palaver.server.stats import Stats

class FastPath:
    def __new__(
        cls,
        *,
        state: State,
        moderated: set[str],
        performer: Performer,
        fanout: Fanout,
        stats: Stats,
        clock: Callable[[], float],
        text_chars: int,
        frame_bytes: int,
        frame_seconds: float,
    ) -> Self: ...
    @property
    def looked_at(self) -> int: ...
    @property
    def together(self) -> int: ...
    def receive(self, connection: object, data: bytes, /) -> bool: ...
    def deliver(self, results: Sequence[LogResult], start: int, now: float, /) -> int: ...

def write_readers(readers: list[Reader], chunk: bytes, /) -> None: ...
def write_members(
    members: dict[Reader, None], ahead: dict[Reader, int], chunk: bytes, /
) -> tuple[Sequence[Reader], int, int]: ...
