"""The fast path: a plain message's way through the server in C; optional, and to the byte what the ordinary way does.

Nearly every frame is the same: somebody who is known says a line of text in a room that they are in, within every
limit. `receive` takes such a frame from the bytes that were read to the job for the log, `deliver` takes the log's
answer to what the room and the sender get, and `Writers` write it. At the first thing that is not plain the first two
have changed nothing and say so, and the ordinary way, which is the definition, is taken: for a moderated room, a full
window, a text with an escape, a reader that lags, a frame in two pieces.

Refuses to do: deciding anything otherwise than Python does; reading what is not a slot of the very class that
objects.h names. Invariant: with it and without it, clients, log and metrics get the same.

It is there where a C compiler was when Palaver was installed; the setting `fast-path` turns it off.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from palaver.chat.effects import LogResult
from palaver.chat.engine import Engine
from palaver.server.bounds import Bounds
from palaver.server.fanout_room import Reader
from palaver.server.fastpath import ordinary
from palaver.server.stats import Stats

if TYPE_CHECKING:
    from palaver.server.fanout import Fanout
    from palaver.server.performer import Performer

try:
    from palaver.server.fastpath import _fastpath
except ImportError:
    COMPILED = False
else:
    COMPILED = True


class Writers(NamedTuple):
    """How one chunk gets to many connections; see palaver.server.fastpath.ordinary for what each does."""

    write_members: Callable[[dict[Reader, None], dict[Reader, int], bytes], tuple[Sequence[Reader], int, int]]
    write_readers: Callable[[list[Reader], bytes], None]


ORDINARY = Writers(ordinary.write_members, ordinary.write_readers)


class FastPath(Protocol):
    """One engine's fast path. For the thread of its event loop; a call never waits."""

    @property
    def looked_at(self) -> int:
        """After an exception of `deliver`: the place of the result that it is about."""
        ...

    @property
    def together(self) -> int:
        """How many results take the ordinary way together, from one on that is not plain."""
        ...

    def receive(self, connection: object, data: bytes, /) -> bool:
        """Take what was read from a connection. False, and nothing is changed, where it is not one plain message."""
        ...

    def deliver(self, results: Sequence[LogResult], start: int, now: float, /) -> int:
        """Show and acknowledge stored messages, from one place on. Returns the place of the first that is not plain."""
        ...


def fast_path(
    engine: object,
    performer: "Performer",
    fanout: "Fanout",
    stats: Stats,
    bounds: Bounds,
    clock: Callable[[], float],
    *,
    wanted: bool,
) -> FastPath:
    """The fast path of an engine, or one that finds nothing plain."""
    if not COMPILED or not wanted or type(engine) is not Engine or bounds.frames_per_turn < 2:
        return ordinary.OrdinaryPath()
    state = engine.state
    return _fastpath.FastPath(
        state=state,
        moderated=engine.moderation.rooms,
        performer=performer,
        fanout=fanout,
        stats=stats,
        clock=clock,
        text_chars=state.settings.text_chars,
        frame_bytes=bounds.frame_bytes,
        frame_seconds=0.0 if bounds.frames_per_second is None else 1.0 / bounds.frames_per_second,
    )


def writers(*, wanted: bool) -> Writers:
    """The quickest way of writing there is."""
    return Writers(_fastpath.write_members, _fastpath.write_readers) if COMPILED and wanted else ORDINARY
