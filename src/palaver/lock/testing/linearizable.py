"""An independent oracle: is there any order in which a correct lock could have given these answers?

The search of Wing and Gong (1993) with Lowe's (2017) memory of visited states, for one lock with leases left out:
it is meant for histories without expiry, of up to a few hundred operations, to cross-check `history`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What was asked for."""

    ACQUIRE = "acquire"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Operation:
    """Something asked for at `invoked` and answered at `returned`; `returned=None` if no answer came.

    `succeeded` is the answer. An operation without an answer may have happened at any time since, or never.
    """

    worker: str
    kind: Kind
    invoked: float
    returned: float | None = None
    succeeded: bool = True


def is_linearizable(operations: Sequence[Operation]) -> bool:
    """Whether some order of the operations fits both their times and a lock that starts free."""
    ordered = sorted(operations, key=lambda operation: operation.invoked)
    answered = frozenset(number for number, operation in enumerate(ordered) if operation.returned is not None)
    todo: list[tuple[frozenset[int], str | None]] = [(frozenset(), None)]
    seen = set(todo)
    while todo:
        done, holder = todo.pop()
        if answered <= done:
            return True
        for number in _could_be_next(ordered, done):
            allowed, new_holder = _apply(ordered[number], holder)
            state = (done | {number}, new_holder)
            if allowed and state not in seen:
                seen.add(state)
                todo.append(state)
    return False


def _could_be_next(ordered: Sequence[Operation], done: frozenset[int]) -> list[int]:
    """Those not done that were invoked before any other that is not done had returned."""
    left = [number for number in range(len(ordered)) if number not in done]
    first_return = min((_returned(ordered[number]) for number in left), default=float("inf"))
    return [number for number in left if ordered[number].invoked <= first_return]


def _returned(operation: Operation) -> float:
    return float("inf") if operation.returned is None else operation.returned


def _apply(operation: Operation, holder: str | None) -> tuple[bool, str | None]:
    """Whether a lock in this state may answer so, and who holds it then."""
    if operation.kind is Kind.ACQUIRE:
        if not operation.succeeded:
            return holder is not None, holder
        return holder is None, operation.worker
    if operation.succeeded:
        return holder == operation.worker, None
    return holder != operation.worker, holder
