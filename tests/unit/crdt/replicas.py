"""Replicas for tests, and a wall clock for them."""

from palaver.crdt import Bias, HybridLogicalClock, LWWElementSet

BIASES: tuple[Bias, Bias] = ("add", "remove")


class Wall:
    """A wall clock that stands where it is put."""

    def __init__(self, milliseconds: int = 1_000_000) -> None:
        self.milliseconds = milliseconds

    def __call__(self) -> int:
        return self.milliseconds


def replica(name: str = "a", *, bias: Bias = "add", wall: Wall | None = None) -> LWWElementSet[str]:
    return LWWElementSet(bias=bias, clock=HybridLogicalClock(name, wall or Wall()))
