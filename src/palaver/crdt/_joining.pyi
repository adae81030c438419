from collections.abc import Iterable
from typing import TypeVar

from palaver.crdt.joining import Changes

_E = TypeVar("_E")

def join_few(
    live: dict[_E, int], dead: dict[_E, int], elements: Iterable[_E], cells: Iterable[int], changes: Changes[_E], /
) -> None: ...
def join_many(
    live: dict[_E, int],
    dead: dict[_E, int],
    adds: dict[_E, int],
    removes: dict[_E, int],
    changes: Changes[_E],
    with_before: bool,
    /,
) -> None: ...
