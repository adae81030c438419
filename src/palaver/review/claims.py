"""Who makes a call: claims on tasks, so that workers who share an evaluation do not pay for the same cell twice.

Three kinds of claims fit one protocol: in-process (here), between processes of one machine (here, with file locks that
the kernel drops when their holder dies), and leases of a distributed lock, which are composed outside this package.

Invariant: two claims on one task are never held at the same time by holders that know of each other, and a later claim
has a higher fence.
"""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from palaver.review.records import digest


class Claim(Protocol):
    """The right to make one call and to write what it gave."""

    @property
    def fence(self) -> int:
        """Higher than the fence of every earlier claim on this task."""
        ...

    async def held(self) -> bool:
        """Whether the claim still holds. A record is written only under a held claim."""
        ...

    async def release(self) -> None:
        """Give the task back. Releasing twice does nothing."""
        ...


class Claims(Protocol):
    """Hands out claims."""

    async def claim(self, task: str) -> Claim | None:
        """Claim a task, or `None` if somebody else has it. Never waits for the other one."""
        ...


class LocalClaims:
    """Claims inside one process."""

    def __init__(self) -> None:
        self._fences: dict[str, int] = {}
        self._held: dict[str, int] = {}

    async def claim(self, task: str) -> "LocalClaim | None":
        """Claim a task that nobody in this process holds."""
        if task in self._held:
            return None
        fence = self._fences.get(task, 0) + 1
        self._fences[task] = self._held[task] = fence
        return LocalClaim(self._held, task, fence)


class LocalClaim:
    """A claim of `LocalClaims`."""

    def __init__(self, held: dict[str, int], task: str, fence: int) -> None:
        self._held = held
        self._task = task
        self.fence = fence

    async def held(self) -> bool:
        """Whether it was not released."""
        held: Mapping[str, int] = self._held
        return held.get(self._task) == self.fence

    async def release(self) -> None:
        """Give the task back."""
        if self._held.get(self._task) == self.fence:
            del self._held[self._task]


class FileClaims:
    """Claims between the processes of one machine: one locked file for each task under way (`flock(2)`)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    async def claim(self, task: str) -> "FileClaim | None":
        """Claim a task that no living process holds."""
        descriptor = os.open(self._directory / digest(task), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        fence = int(os.pread(descriptor, 20, 0) or b"0") + 1
        os.pwrite(descriptor, str(fence).encode(), 0)
        return FileClaim(descriptor, fence)


class FileClaim:
    """A claim of `FileClaims`: it holds as long as its process lives and does not release it."""

    def __init__(self, descriptor: int, fence: int) -> None:
        self._descriptor: int | None = descriptor
        self.fence = fence

    async def held(self) -> bool:
        """Whether it was not released; the kernel lets nobody else have it before."""
        return self._descriptor is not None

    async def release(self) -> None:
        """Give the task back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
