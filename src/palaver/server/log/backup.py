"""Makes a copy of a store's database, also while a server writes to it.

The copy has no epoch: a store that was restored begins a new one when it is opened. Its last numbers may be lower than
what clients have seen, and a number must never mean two messages within an epoch.
"""

import os
import sqlite3
from pathlib import Path

from palaver.server.log.errors import LogError, StoreUnusableError
from palaver.server.log.opening import DATABASE, check_ours, explained, sync_directory


def back_up(directory: Path, target: Path) -> None:
    """Write a complete, compact copy of the database in `directory` to the new file `target`, and wait for the disk.

    The copy is of one moment. A running server goes on meanwhile; its write-ahead log grows until the copy is made.
    Raises LogError; then there is no file.
    """
    source = directory / DATABASE
    if not source.is_file():
        raise StoreUnusableError(source, "there is no such file", "Name the directory that `palaver serve` was given.")
    if target.exists():
        raise StoreUnusableError(target, "the file exists", "Give a new name; a backup is never overwritten.")
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _copy(source, unfinished)
        unfinished.rename(target)
        sync_directory(target.absolute().parent)
    except (sqlite3.Error, OSError, LogError) as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, LogError):
            raise
        raise explained(target, error) from error


def _copy(source: Path, target: Path) -> None:
    connection = sqlite3.connect(source, isolation_level=None)
    try:
        check_ours(connection, source)
        connection.execute("VACUUM INTO ?", (str(target),))
    finally:
        connection.close()
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        copy.execute("PRAGMA synchronous = EXTRA")
        copy.execute("DELETE FROM meta WHERE key = 'epoch'")
    finally:
        copy.close()
