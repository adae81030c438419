"""Every exception of the review, as one tree.

    ReviewError
    ├── FormatError        a file or record is not what it says it is: `where` and `why`
    ├── ConfigurationError a model file, question bank or rubric asks for something impossible
    ├── LedgerError        two records contradict each other, or a ledger belongs to another evaluation
    └── ClaimLostError     another worker took the cell over; what this one found out is dropped

A provider that fails is not an exception here but a `Failure` value: it becomes a record, and a cell with a reason.
"""

from typing import final


class ReviewError(Exception):
    """Anything the review refuses. Never raised itself; catch it to catch all of them."""


@final
class FormatError(ReviewError):
    """A file or record cannot be read."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(where, why)
        self.where = where
        self.why = why

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@final
class ConfigurationError(ReviewError):
    """A setting has a value that cannot work. The text names the value and says what to do."""


@final
class LedgerError(ReviewError):
    """A record does not belong into this ledger."""


@final
class ClaimLostError(ReviewError):
    """The lease on a cell ran out and somebody else holds it now."""

    def __init__(self, task: str, fence: int) -> None:
        super().__init__(task, fence)
        self.task = task
        self.fence = fence

    def __str__(self) -> str:
        return f"the claim on {self.task} with fence {self.fence} is no longer held"
