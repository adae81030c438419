"""An evaluation as a folder on disk: one journal for each process that ever wrote to it.

    EVAL-20260402-133034/
      journal/<replica>.log    one write per line, appended and synced before anybody hears of it
      claims/                  locked while a call is under way
      results-<n>.json         the published form, one file for each version

A process only appends to its own journal and reads the others', so that several may work on one evaluation. A line
without its end was never told to anybody: it is ignored.

Invariant: what `append` has returned for survives the death of the process; what `sync` has, that of the machine.
"""

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from palaver.review.claims import Claim, FileClaims
from palaver.review.errors import ClaimLostError, FormatError, LedgerError
from palaver.review.ledger import Ledger, Line, parse_line
from palaver.review.matrix import Matrix
from palaver.review.records import Evaluation, Record

_SAFE = re.compile(r"[^A-Za-z0-9._-]+")


def new_replica() -> str:
    """A name for this process that no other process has or had."""
    host = _SAFE.sub("-", socket.gethostname())[:40] or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


class Folder:
    """One evaluation's folder, open for reading and for writing as one replica."""

    def __init__(self, path: Path, replica: str, wall_milliseconds: Callable[[], int]) -> None:
        self.path = path
        self.ledger = Ledger(replica, wall_milliseconds)
        self._wall = wall_milliseconds
        self._read: dict[Path, int] = {}
        self._own = path / "journal" / f"{replica}.log"
        self._descriptor: int | None = None
        self.ledger.apply(self._news())

    @property
    def replica(self) -> str:
        """Who writes here."""
        return self.ledger.replica

    @property
    def claims(self) -> FileClaims:
        """Claims between the processes that work in this folder."""
        return FileClaims(self.path / "claims")

    def matrix(self) -> Matrix:
        """What the records amount to. Raises `LedgerError` if the folder holds no evaluation."""
        return self.ledger.matrix()

    def write(self, line: Line) -> None:
        """Append one write to the own journal: from here on it survives this process."""
        if self._descriptor is None:
            self._own.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._own, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        data = f"{line}\n".encode()
        while data:
            data = data[os.write(self._descriptor, data) :]

    def take_over(self, other: Ledger) -> int:
        """Write everything that another replica knows and this folder does not; returns how many writes were new.

        Raises `LedgerError` if it is another evaluation's.
        """
        if len(self.ledger) and other.evaluation != self.ledger.evaluation:
            mine, theirs = self.ledger.evaluation.id, other.evaluation.id
            raise LedgerError(f"{theirs} cannot be merged into {mine}: they are different evaluations.")
        new = [line for line in other.lines() if self.ledger.apply([line])]
        for line in new:
            self.write(line)
        return len(new)

    async def append(self, record: Record, claim: Claim | None = None) -> None:
        """Keep a record. Raises `ClaimLostError` if the claim it was made under is no longer held."""
        if claim is not None and not await claim.held():
            raise ClaimLostError(type(record).__name__, claim.fence)
        self.write(self.ledger.add(record))

    async def sync(self) -> None:
        """Wait until the disk has what was written: from here on it survives the machine."""
        if self._descriptor is not None:
            await asyncio.to_thread(os.fdatasync, self._descriptor)

    async def refresh(self) -> bool:
        """Take in what other processes have written since the last time."""
        return self.ledger.apply(self._news())

    def _news(self) -> Iterator[Line]:
        for path in sorted((self.path / "journal").glob("*.log")):
            if path == self._own:
                continue
            start = self._read.get(path, 0)
            if path.stat().st_size == start:
                continue
            with path.open("rb") as journal:
                journal.seek(start)
                data = journal.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read[path] = start + len(whole)
            for text in whole.splitlines():
                yield parse_line(text.decode("utf-8"), str(path))

    def close(self) -> None:
        """Close the own journal. Closing twice does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def publish(self, text: str) -> Path:
        """Keep a version of the results, unless it says the same as the last one. Nothing is overwritten."""
        versions = self.versions()
        if versions and versions[-1].read_bytes() == text.encode():
            return versions[-1]
        path = self.path / f"results-{len(versions) + 1}.json"
        partial = path.with_suffix(".partial")
        partial.write_bytes(text.encode())
        partial.replace(path)
        return path

    def versions(self) -> list[Path]:
        """The published versions, oldest first."""
        found = self.path.glob("results-*.json")
        return sorted(found, key=lambda path: int(path.stem.removeprefix("results-")))


def create(root: Path, evaluation: Evaluation, replica: str, wall_milliseconds: Callable[[], int]) -> Folder:
    """Make the folder of a new evaluation. Raises `LedgerError` if there is one already."""
    path = root / evaluation.id
    try:
        (path / "journal").mkdir(parents=True)
    except FileExistsError as error:
        raise LedgerError(f"{path} exists already; resume it, or wait a second and run again.") from error
    folder = Folder(path, replica, wall_milliseconds)
    folder.write(folder.ledger.add(evaluation))
    return folder


def restore(root: Path, ledger: Ledger, replica: str, wall_milliseconds: Callable[[], int]) -> tuple[Folder, int]:
    """The folder of a ledger's evaluation with all that the ledger knows; made if there is none under `root` yet.

    Returns how many writes were new to it. Raises `LedgerError` if the folder is another evaluation's.
    """
    path = root / ledger.evaluation.id
    (path / "journal").mkdir(parents=True, exist_ok=True)
    folder = Folder(path, replica, wall_milliseconds)
    return folder, folder.take_over(ledger)


def find(path: Path) -> list[Path]:
    """The folders of evaluations at a path: itself if it is one, otherwise those in it, by name."""
    if (path / "journal").is_dir():
        return [path]
    if not path.is_dir():
        raise FormatError(str(path), "it is no folder")
    return sorted(each for each in path.iterdir() if (each / "journal").is_dir())
