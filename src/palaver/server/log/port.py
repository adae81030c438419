"""What every log does. The shell in palaver.server knows this and nothing else about where messages are kept.

Invariants, which tests/unit/server/log/test_contract.py checks for every log:

* Each submitted job is answered exactly once, and answers come in the order of submission.
* `Stored`, `Redacted` and `Saved` are delivered only when what they say is as safe as `durability` names.
* A room's `seq` counts from 1 without a hole; none is given twice, whatever was trimmed, however the process ended.
* The same user, room and `cid` is stored once; for at least 24 hours a repetition is answered with the first's place.
* A job sees everything that was submitted before it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from palaver.chat.effects import LogJob, LogResult
from palaver.chat.records import Durability, Sanction
from palaver.server.log.statistics import LogStatistics

OVERLOADED = "the log is overloaded"
"""The reason of every `Failed` for a job that found the queue full."""

OnResults = Callable[[Sequence[LogResult]], None]


class Log(Protocol):
    """A message log. All methods are for the thread of the event loop that `start` was called on.

    The queue is bounded. A job beyond the bound is not tried; its `Failed(reason=OVERLOADED)` still takes its turn, so
    that order holds. Read `full` to stop reading from connections before that happens.
    """

    @property
    def durability(self) -> Durability:
        """What an acknowledged message survives."""
        ...

    @property
    def epoch(self) -> str:
        """Names this numbering. Made once when the store was created; the same after every restart."""
        ...

    @property
    def secret(self) -> bytes:
        """32 random bytes, made once when the store was created. They sign guests' sessions; never log them."""
        ...

    @property
    def statistics(self) -> LogStatistics:
        """Live counters."""
        ...

    @property
    def full(self) -> bool:
        """Whether one more job would be refused."""
        ...

    def sanctions(self) -> Sequence[Sanction]:
        """Every decision that was saved when the log was opened, the lifted ones included."""
        ...

    def start(self, on_results: OnResults) -> None:
        """Begin to answer on the running event loop, one call of `on_results` per commit. Once in a log's life."""
        ...

    def submit(self, jobs: Sequence[LogJob]) -> None:
        """Queue jobs; never blocks, never calls `on_results` itself. The log keeps `jobs`: do not change it afterwards.

        Raises LogClosedError before `start` and after `close`.
        """
        ...

    async def close(self) -> None:
        """Refuse new jobs, finish and deliver everything submitted, release the store. Idempotent.

        Cancelling the wait does not stop the closing; call it again to wait on.
        """
        ...
