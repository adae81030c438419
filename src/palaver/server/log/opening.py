"""Decides whether a directory may hold a store, and opens it. Everything that can be wrong at a start is found here.

Refuses to touch a file that is another program's, damaged, or made by a newer version: it is read, never repaired.

Invariants: the directory is locked (flock on `palaver.lock`) before the database is looked at and until the process
ends, so that no second process assigns a `seq`; a new store's epoch and secret are on disk before anyone sees them.
"""

import fcntl
import os
import secrets
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from palaver.chat.records import Sanction
from palaver.server.log.errors import (
    CorruptStoreError,
    ForeignStoreError,
    LogError,
    NewerStoreError,
    StoreInUseError,
    StoreUnusableError,
)
from palaver.server.log.journal import DamagedError, Journal

DATABASE = "palaver.db"
LOCK = "palaver.lock"
SCHEMA = 2
APPLICATION_ID = 0x50414C56  # "PALV", in the header of every database of ours

_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
_CHECKED_BYTES = 64 * 1024 * 1024  # up to this size every page is verified at a start: some 100 ms
_WAL_BYTES = 64 * 1024 * 1024  # what a long backup made larger is cut to this afterwards
_BUSY_MS = 2_000  # how long somebody else (a backup, an operator's shell) may hold the database

_JOURNAL = """
CREATE TABLE journal (id INTEGER PRIMARY KEY, batch BLOB NOT NULL) STRICT;  -- the newest messages: see journal.py
"""
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
-- trimmed: every message of the room up to this seq was removed. The last seq is never below it.
CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, trimmed INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE messages (
  room INTEGER NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL, mid TEXT NOT NULL,
  user TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL, cid TEXT, deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (room, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE sends (
  room INTEGER NOT NULL, user TEXT NOT NULL, cid TEXT NOT NULL,
  seq INTEGER NOT NULL, mid TEXT NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY (room, user, cid)
) STRICT, WITHOUT ROWID;
CREATE TABLE sanctions (
  kind TEXT NOT NULL, room TEXT NOT NULL, user TEXT NOT NULL, active INTEGER NOT NULL, until INTEGER,
  seconds REAL NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (kind, room, user)
) STRICT, WITHOUT ROWID;
"""
_UPGRADES = {  # from this schema to the next
    1: (
        _JOURNAL,
        "INSERT INTO sends SELECT room, user, cid, seq, mid, time FROM recent WHERE true ON CONFLICT DO NOTHING",
        "DROP TABLE recent",
    ),
}


@dataclass(slots=True)
class Store:
    """An open, locked store and what is read from it once. Only `connection` changes: see `reopen`."""

    path: Path  # of the database file
    connection: sqlite3.Connection
    lock: int  # the lock file's descriptor
    inode: int  # of the database file
    epoch: str
    secret: bytes = field(repr=False)
    sanctions: tuple[Sanction, ...]

    def in_place(self) -> bool:
        """Whether the open database file is still the one at its path."""
        try:
            return os.stat(self.path).st_ino == self.inode  # noqa: PTH116 - once per commit
        except OSError:
            return False

    def reopen(self) -> None:
        """Replace the connection by one that could write just now. Raises sqlite3.Error; then the old one stays.

        Only while `in_place`: another file may know less than was acknowledged.

        The write-ahead log is begun anew. A disk tells only once that it lost what it was given; of the commits that
        did not wait for it some may be gone, and then everything behind them would be gone with the next power failure.
        """
        connection = connect(self.path)
        try:
            _empty_wal(connection)
            connection.execute("UPDATE meta SET value = value WHERE key = 'epoch'")
        except BaseException:
            connection.close()
            raise
        self.connection.close()
        self.connection = connection

    def close(self) -> None:
        """Close the database, then let others have the directory. Never raises: what is committed is safe already."""
        try:
            self.connection.close()
        except sqlite3.Error:
            pass  # the write-ahead log could not be folded in; the next start does it
        finally:
            os.close(self.lock)


def open_store(directory: Path) -> Store:
    """Open the store in `directory`, or make both. Blocks for disk IO. Raises LogError."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreUnusableError(
            directory, f"SQLite {sqlite3.sqlite_version} is too old", "Use a Python whose SQLite is 3.37 or newer."
        )
    lock = _lock(directory)
    path = directory / DATABASE
    try:
        _check_header(path)
        connection = connect(path)
        try:
            epoch, secret = _identify(connection, path)
            sanctions = tuple(_sanctions(connection))
            return Store(path, connection, lock, path.stat().st_ino, epoch, secret, sanctions)
        except BaseException:
            connection.close()
            raise
    except BaseException as error:
        os.close(lock)
        if isinstance(error, (sqlite3.Error, OSError)):
            raise explained(path, error) from error
        raise


def connect(path: Path) -> sqlite3.Connection:
    """A connection set up for the writer: WAL, durable commits. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
    try:
        for pragma in (
            "synchronous = FULL",  # a commit returns when the write-ahead log is on the disk
            "cache_size = -65536",  # KiB
            f"journal_size_limit = {_WAL_BYTES}",
            "wal_autocheckpoint = 8000",  # pages; the writer does it before, between batches
            "secure_delete = ON",  # a deleted text is overwritten, also in pages that are not used any more
            "trusted_schema = OFF",
            "cell_size_check = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _empty_wal(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise sqlite3.OperationalError("after an error of the disk, the end of a backup is waited for")


def _lock(directory: Path) -> int:
    """The descriptor of the locked lock file. Raises LogError."""
    try:
        made = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if made:
            sync_directory(directory.parent)
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise explained(directory, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).strip()
        os.close(lock)
        raise StoreInUseError(directory, int(holder) if holder.isdigit() else None) from None
    except OSError as error:
        os.close(lock)
        raise explained(directory, error) from error
    return lock


def _check_header(path: Path) -> None:
    """Raises ForeignStoreError for a file that is not SQLite's at all. SQLite itself would call it damaged."""
    if not path.exists():
        return
    with path.open("rb") as file:
        start = file.read(16)
    if start and start != b"SQLite format 3\0":
        raise ForeignStoreError(path, "it is not an SQLite database")


def check_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """True for our database, False for an empty file. Raises ForeignStoreError, NewerStoreError, sqlite3.Error."""
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    names = sorted(name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"))
    if application not in (0, APPLICATION_ID) or (application == 0 and names):
        raise ForeignStoreError(path, f"it is another program's database, with the tables {', '.join(names[:5])}")
    if version > SCHEMA:
        raise NewerStoreError(path, version, SCHEMA)
    return application == APPLICATION_ID


def _identify(connection: sqlite3.Connection, path: Path) -> tuple[str, bytes]:
    """Epoch and secret of our database; makes the tables in an empty one. Raises LogError, sqlite3.Error."""
    if check_ours(connection, path):
        _check_pages(connection, path)
        _upgrade(connection)
        Journal.load(connection)  # shows now, not with the first message, that it can be read
    else:
        _create(connection, path)
    _require_wal(connection, path)
    # A backup has no epoch (see `backup`): numbering begins anew where it is restored.
    connection.execute("INSERT INTO meta VALUES ('epoch', ?) ON CONFLICT DO NOTHING", (_new_epoch(),))
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    if not isinstance(meta["epoch"], str) or not isinstance(meta.get("secret"), bytes):
        raise CorruptStoreError(path, "its epoch or its secret is missing")
    return meta["epoch"], meta["secret"]


def _new_epoch() -> str:
    return f"e{secrets.token_hex(6)}"


def _create(connection: sqlite3.Connection, path: Path) -> None:
    """Make all tables in one transaction: a process that dies here leaves an empty file."""
    connection.execute("PRAGMA journal_mode = DELETE")
    identity = f"('epoch', '{_new_epoch()}'), ('secret', x'{secrets.token_hex(32)}')"
    connection.executescript(
        f"BEGIN EXCLUSIVE; {_TABLES} {_JOURNAL} INSERT INTO meta VALUES {identity};"  # noqa: S608 - hexadecimal digits made above
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA}; COMMIT;"
    )
    path.chmod(0o600)
    sync_directory(path.parent)


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring an older store to this schema, one transaction for each step. Raises sqlite3.Error."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    for old in range(version, SCHEMA):
        connection.execute("BEGIN EXCLUSIVE")
        for statement in (*_UPGRADES[old], f"PRAGMA user_version = {old + 1}"):
            connection.execute(statement)
        connection.execute("COMMIT")


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size <= _CHECKED_BYTES:
        found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise CorruptStoreError(path, found.splitlines()[-1])  # the first line only names the database


def _require_wal(connection: sqlite3.Connection, path: Path) -> None:
    mode: str = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreUnusableError(path, f"its file system allows no write-ahead log (got {mode!r})", "Use a local disk.")
    connection.execute("UPDATE meta SET value = value WHERE key = 'epoch'")  # shows now, not later, that writing works


def _sanctions(connection: sqlite3.Connection) -> list[Sanction]:
    rows = connection.execute(
        "SELECT kind, room, user, active, until, seconds, by, reason, at FROM sanctions ORDER BY at"
    )
    return [Sanction(kind, room, user, bool(active), *rest) for kind, room, user, active, *rest in rows]


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_EXPLANATIONS = {
    "SQLITE_FULL": ("the disk is full", "Free some space."),
    "SQLITE_READONLY": ("it is read-only", "Make the disk and the files writable for this user."),
    "SQLITE_CANTOPEN": ("it cannot be opened", "Check that this user may write to the directory and its files."),
    "SQLITE_BUSY": ("another program holds the database", "Close it."),
    "SQLITE_IOERR": ("the disk reports an error", "Look at the system's log for the disk; then start again."),
}


def explained(path: Path, error: sqlite3.Error | OSError) -> LogError:
    """The LogError that a failure of the disk or the database amounts to."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return StoreUnusableError(path, reason, "Give a directory this user may write to with --data.")
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    if isinstance(error, DamagedError) or name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return CorruptStoreError(path, str(error))
    for prefix, (problem, remedy) in _EXPLANATIONS.items():
        if name.startswith(prefix):
            return StoreUnusableError(path, f"{problem} ({error})", remedy)
    return StoreUnusableError(path, str(error), "This is unexpected; please report it.")
