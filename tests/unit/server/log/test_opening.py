"""A directory that cannot be used is refused with a sentence that says what to do, and is left as it was."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from palaver.chat.effects import Found, Loaded, Stored
from palaver.server.log import opening
from palaver.server.log.errors import (
    CorruptStoreError,
    ForeignStoreError,
    LogError,
    NewerStoreError,
    StoreInUseError,
    StoreUnusableError,
)
from palaver.server.log.opening import DATABASE, LOCK, SCHEMA, open_store
from tests.unit.server.log.driving import Clock, Driven, append, fates, load, maker


def made(directory: Path) -> Path:
    """The database file of a new, closed store."""
    open_store(directory).close()
    return directory / DATABASE


def refused(directory: Path) -> LogError:
    with pytest.raises(LogError) as caught:
        open_store(directory)
    return caught.value


def test_a_new_store_is_made_with_its_directory_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    database = made(tmp_path / "a" / "b")
    assert database.stat().st_mode & 0o777 == 0o600
    assert database.parent.stat().st_mode & 0o777 == 0o700


def test_epoch_and_secret_stay_for_the_life_of_the_store(tmp_path: Path) -> None:
    identities = set()
    for _ in range(3):
        store = open_store(tmp_path)
        identities.add((store.epoch, store.secret))
        store.close()
    assert len(identities) == 1


def test_the_secret_is_not_in_what_a_log_line_would_show(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.close()
    assert repr(store.secret) not in repr(store)


def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    settings = [store.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    store.close()
    assert settings == ["wal", 2]


def test_an_empty_file_left_by_a_crash_during_the_first_start_is_used(tmp_path: Path) -> None:
    (tmp_path / DATABASE).touch()
    made(tmp_path)


def test_a_second_process_is_refused_and_told_which_one_has_the_directory(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from palaver.server.log.opening import open_store;"
        "store = open_store(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        error = refused(tmp_path)
        other.kill()
    assert isinstance(error, StoreInUseError)
    assert error.pid == other.pid
    assert f"in use by process {other.pid}" in str(error)
    assert "--data" in str(error)
    made(tmp_path)


def test_a_lock_whose_holder_did_not_say_who_it_is_is_still_a_lock(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    os.truncate(tmp_path / LOCK, 0)
    error = refused(tmp_path)
    store.close()
    assert isinstance(error, StoreInUseError)
    assert error.pid is None


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"Dear diary, today nobody wrote to me.\n" * 200)
    error = refused(tmp_path)
    assert isinstance(error, ForeignStoreError)
    assert "not an SQLite database" in str(error)
    assert (tmp_path / DATABASE).read_bytes().startswith(b"Dear diary")


@pytest.mark.parametrize("application_id", [0, 252006673])
def test_another_programs_database_is_refused_and_kept(tmp_path: Path, application_id: int) -> None:
    with sqlite3.connect(tmp_path / DATABASE) as other:
        other.execute("CREATE TABLE invoices (amount)")
        other.execute(f"PRAGMA application_id = {application_id}")
    other.close()
    before = (tmp_path / DATABASE).read_bytes()
    error = refused(tmp_path)
    assert isinstance(error, ForeignStoreError)
    assert "invoices" in str(error)
    assert (tmp_path / DATABASE).read_bytes() == before


def test_a_newer_schema_is_refused_and_kept(tmp_path: Path) -> None:
    with sqlite3.connect(made(tmp_path)) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    newer.close()
    error = refused(tmp_path)
    assert isinstance(error, NewerStoreError)
    assert (error.found, error.known) == (SCHEMA + 1, SCHEMA)
    assert "newer version" in str(error)


@pytest.mark.parametrize("damage", ["pages", "cut", "header"])
def test_a_damaged_file_is_refused_and_kept(tmp_path: Path, damage: str) -> None:
    database = made(tmp_path)
    content = bytearray(database.read_bytes())
    if damage == "pages":
        content[4096:] = b"\xa5" * (len(content) - 4096)
    elif damage == "cut":
        del content[5000:]
    else:
        content[20:90] = b"\xa5" * 70
    database.write_bytes(content)
    error = refused(tmp_path)
    assert isinstance(error, CorruptStoreError | ForeignStoreError)
    assert "backup" in str(error) or damage == "header"
    assert database.read_bytes() == content


def test_damage_far_from_what_is_read_first_is_found(tmp_path: Path) -> None:
    with sqlite3.connect(made(tmp_path)) as ours:
        ours.executemany("INSERT INTO rooms (name) VALUES (?)", [(f"room {number}",) for number in range(5_000)])
    ours.close()
    with (tmp_path / DATABASE).open("r+b") as file:
        file.seek(-4096 * 3, os.SEEK_END)
        file.write(b"\xa5" * 4096)
    assert isinstance(refused(tmp_path), CorruptStoreError)


def test_a_store_without_its_identity_is_damaged(tmp_path: Path) -> None:
    with sqlite3.connect(made(tmp_path)) as ours:
        ours.execute("DELETE FROM meta WHERE key = 'secret'")
    ours.close()
    assert isinstance(refused(tmp_path), CorruptStoreError)


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refused(tmp_path / "file")
    assert isinstance(error, StoreUnusableError)
    assert "--data" in str(error)


def test_a_directory_in_the_place_of_the_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / DATABASE).mkdir()
    assert isinstance(refused(tmp_path), StoreUnusableError)


def test_a_database_that_somebody_else_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palaver.server.log.opening._BUSY_MS", 0)
    other = sqlite3.connect(made(tmp_path), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    error = refused(tmp_path)
    other.close()
    assert isinstance(error, StoreUnusableError)
    assert "another program holds the database" in str(error)


def test_a_refused_directory_is_free_again(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"something else, long enough")
    refused(tmp_path)
    (tmp_path / DATABASE).unlink()
    made(tmp_path)


# ---- older stores ------------------------------------------------------------------------------------------------

_SCHEMA_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, trimmed INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE messages (
  room INTEGER NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL, mid TEXT NOT NULL,
  user TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL, cid TEXT, deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (room, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE recent (
  room INTEGER NOT NULL, user TEXT NOT NULL, cid TEXT NOT NULL,
  seq INTEGER NOT NULL, mid TEXT NOT NULL, time INTEGER NOT NULL
) STRICT;
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
INSERT INTO meta VALUES ('epoch', 'e0123456789ab'), ('secret', x'abcd');
INSERT INTO rooms VALUES (1, 'lobby', 2);
INSERT INTO messages VALUES (1, 3, 7, 'm-3', 'u-ada', 'ada', 'three', 'c-3', 0);
INSERT INTO messages VALUES (1, 4, 8, 'm-4', 'u-ada', 'ada', '', NULL, 1);
INSERT INTO sends VALUES (1, 'u-ada', 'c-1', 1, 'm-1', 5);
INSERT INTO recent VALUES (1, 'u-ada', 'c-3', 3, 'm-3', 7);
PRAGMA application_id = 0x50414C56; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;
"""


async def test_a_store_of_the_first_schema_is_opened_with_everything_in_it(tmp_path: Path, clock: Clock) -> None:
    older = sqlite3.connect(tmp_path / "older.db", isolation_level=None)
    older.executescript(_SCHEMA_1)
    older.close()
    (tmp_path / "store").mkdir()
    (tmp_path / "older.db").rename(tmp_path / "store" / DATABASE)
    for expected in (5, 6):
        log = Driven(maker("sqlite", tmp_path / "store", clock)())
        assert (log.log.epoch, log.log.secret) == ("e0123456789ab", b"\xab\xcd")
        loaded = await log.ask(load(), Loaded)
        assert [(message.seq, message.text) for message in loaded.messages][:2] == [(3, "three"), (4, "")]
        assert loaded.messages[1].deleted
        assert (await log.ask(fates("c-1", "c-3"), Found)).seqs == {"c-1": 1, "c-3": 3}
        assert (await log.ask(append(cid="c-3"), Stored)).duplicate
        assert (await log.ask(append(), Stored)).seq == expected
        await log.log.close()


def test_an_upgrade_that_is_cut_off_leaves_the_older_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = sqlite3.connect(tmp_path / DATABASE, isolation_level=None)
    older.executescript(_SCHEMA_1)
    older.close()
    with monkeypatch.context() as patch:
        patch.setitem(opening._UPGRADES, 1, (*opening._UPGRADES[1], "INSERT INTO nowhere VALUES (1)"))
        refused(tmp_path)
    with sqlite3.connect(tmp_path / DATABASE) as still:
        assert still.execute("PRAGMA user_version").fetchone() == (1,)
        assert still.execute("SELECT cid FROM recent").fetchall() == [("c-3",)]
    still.close()
    made(tmp_path)


@pytest.mark.parametrize("batch", [b"", b"\xa5" * 40, b"\x91\x93\x01\x02\x03"])
def test_a_journal_that_cannot_be_read_is_damage_and_is_kept(tmp_path: Path, batch: bytes) -> None:
    with sqlite3.connect(made(tmp_path)) as ours:
        ours.execute("INSERT INTO journal VALUES (7, ?)", (batch,))
    ours.close()
    error = refused(tmp_path)
    assert isinstance(error, CorruptStoreError)
    assert "batch 7 of the journal" in str(error)
    assert "backup" in str(error)
