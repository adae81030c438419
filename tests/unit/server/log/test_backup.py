"""A backup is of one moment, complete, and begins a new epoch where it is restored."""

import sqlite3
from pathlib import Path

import pytest

from palaver.chat.effects import Found, Loaded, Stored
from palaver.server.log import ForeignStoreError, StoreUnusableError, back_up
from palaver.server.log.opening import DATABASE, open_store
from tests.unit.server.log.driving import ADA, Clock, Driven, append, fates, load, maker


async def test_a_backup_of_a_running_server_is_restored_with_everything_but_the_epoch(
    tmp_path: Path, clock: Clock
) -> None:
    log = Driven(maker("sqlite", tmp_path / "store", clock)())
    await log.do(*(append(str(number), cid=f"c-{number}") for number in range(50)))
    back_up(tmp_path / "store", tmp_path / "copy.db")
    await log.do(append("later"))
    (tmp_path / "new").mkdir()
    (tmp_path / "copy.db").rename(tmp_path / "new" / DATABASE)
    restored = Driven(maker("sqlite", tmp_path / "new", clock)())
    assert restored.log.epoch != log.log.epoch
    assert restored.log.secret == log.log.secret
    loaded = await restored.ask(load(), Loaded)
    assert [message.text for message in loaded.messages] == [str(number) for number in range(50)]
    assert {message.epoch for message in loaded.messages} == {restored.log.epoch}
    assert (await restored.ask(fates("c-7", user=ADA.id), Found)).seqs == {"c-7": 8}
    assert (await restored.ask(append(), Stored)).seq == 51
    epoch = restored.log.epoch
    await restored.log.close()
    await log.log.close()
    store = open_store(tmp_path / "new")
    store.close()
    assert store.epoch == epoch


def test_only_its_owner_may_read_a_backup(tmp_path: Path) -> None:
    open_store(tmp_path / "store").close()
    back_up(tmp_path / "store", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600


def test_a_backup_is_never_written_over_another_file(tmp_path: Path) -> None:
    open_store(tmp_path / "store").close()
    (tmp_path / "copy.db").write_text("older backup")
    with pytest.raises(StoreUnusableError, match="the file exists"):
        back_up(tmp_path / "store", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "older backup"


def test_what_is_not_there_or_not_ours_is_not_copied(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusableError, match="no such file"):
        back_up(tmp_path, tmp_path / "copy.db")
    with sqlite3.connect(tmp_path / DATABASE) as other:
        other.execute("CREATE TABLE invoices (amount)")
    other.close()
    with pytest.raises(ForeignStoreError, match="invoices"):
        back_up(tmp_path, tmp_path / "copy.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == [DATABASE]


def test_a_copy_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    open_store(tmp_path / "store").close()
    with pytest.raises(StoreUnusableError, match="Cannot keep messages in"):
        back_up(tmp_path / "store", tmp_path / "nowhere" / "copy.db")
