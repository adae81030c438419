"""What can go wrong with a log at its start. What goes wrong with a job later is a `Failed` result, no exception.

    LogError
    ├── StoreUnusableError     the directory or the disk does not allow it: missing, no permission, read-only, full
    ├── StoreInUseError        another process has this directory; `pid` says which
    ├── ForeignStoreError      the file is another program's
    ├── NewerStoreError        a newer Palaver made it; `found` and `known` are schema versions
    ├── CorruptStoreError      the file is damaged
    └── LogClosedError         `submit` after `close`

Each message says what is wrong and what to do about it.
"""

from pathlib import Path


class LogError(Exception):
    """The log cannot be used."""


class StoreUnusableError(LogError):
    """The directory or its disk does not allow a store there."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        self.path = path
        super().__init__(f"Cannot keep messages in {path}: {problem}. {remedy}")


class StoreInUseError(LogError):
    """Another process has locked the directory. `pid` is None where it did not say who it is."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path, self.pid = path, pid
        who = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"{path} is in use by {who}. Stop it, or give this server a directory of its own with --data.")


class ForeignStoreError(LogError):
    """The database file was not made by Palaver. It is left as it is."""

    def __init__(self, path: Path, found: str) -> None:
        self.path = path
        super().__init__(f"{path} is not Palaver's: {found}. It was left untouched; use another directory with --data.")


class NewerStoreError(LogError):
    """The database was made by a version of Palaver that knows more than this one."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        self.path, self.found, self.known = path, found, known
        super().__init__(
            f"{path} has schema {found}, and this version of Palaver knows only up to {known}. "
            "It was left untouched; start it with the newer version, or restore a backup made by this one."
        )


class CorruptStoreError(LogError):
    """The database file is damaged."""

    def __init__(self, path: Path, found: str) -> None:
        self.path = path
        super().__init__(
            f"{path} is damaged ({found}). Restore the last backup, or move the directory away to start anew; "
            f"`sqlite3 {path} .recover` may save what is readable."
        )


class LogClosedError(LogError):
    """A job was submitted to a log that is closed or was never started."""

    def __init__(self) -> None:
        super().__init__("The log is not running: submit jobs after start() and before close().")
