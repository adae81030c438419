"""An evaluation on disk: nothing that was written is lost, and a torn line is nobody's loss."""

from pathlib import Path

import pytest

from palaver.review.claims import LocalClaims
from palaver.review.errors import ClaimLostError, FormatError, LedgerError
from palaver.review.folder import Folder, create, find, new_replica
from tests.unit.review import made
from tests.unit.review.made import evaluation, part

EVALUATION = evaluation()


def _open(path: Path, replica: str) -> Folder:
    return Folder(path, replica, lambda: 1_000)


async def test_what_one_process_writes_another_reads(tmp_path: Path) -> None:
    one = create(tmp_path, EVALUATION, "one", lambda: 1_000)
    two = _open(one.path, "two")

    await one.append(part("ada", made.PASSAGE))

    assert await two.refresh()
    assert not await two.refresh()
    assert two.matrix().answers["ada"].status == "complete"


@pytest.mark.parametrize("kept", [1, 20, -1])
async def test_a_line_that_was_cut_off_by_a_crash_is_ignored(tmp_path: Path, kept: int) -> None:
    one = create(tmp_path, EVALUATION, "one", lambda: 1_000)
    await one.append(part("ada", made.PASSAGE))
    await one.append(part("bob", made.PASSAGE))
    one.close()
    journal = one.path / "journal" / "one.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:kept])

    after = _open(one.path, "two").matrix()

    assert (after.answers["ada"].status, after.answers["bob"].status) == ("complete", "pending")


async def test_a_line_that_arrives_in_two_pieces_is_read_once_it_is_whole(tmp_path: Path) -> None:
    one = create(tmp_path, EVALUATION, "one", lambda: 1_000)
    line = str(one.ledger.add(part("ada", made.PASSAGE))).encode() + b"\n"
    two = _open(one.path, "two")
    journal = one.path / "journal" / "three.log"

    journal.write_bytes(line[:50])
    assert not await two.refresh()
    journal.write_bytes(line)
    assert await two.refresh()


async def test_a_record_under_a_lost_claim_is_refused(tmp_path: Path) -> None:
    folder = create(tmp_path, EVALUATION, "one", lambda: 1_000)
    claim = await LocalClaims().claim("task")
    assert claim is not None
    await claim.release()

    with pytest.raises(ClaimLostError):
        await folder.append(part("ada", made.PASSAGE), claim)
    assert _open(folder.path, "two").matrix().calls == 0


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    folder = create(tmp_path, EVALUATION, "one", lambda: 1_000)
    (folder.path / "journal" / "other.log").write_text("nonsense\n", "utf-8")

    with pytest.raises(FormatError, match=r"other\.log"):
        _open(folder.path, "two")


def test_versions_of_results_are_added_and_never_overwritten(tmp_path: Path) -> None:
    folder = create(tmp_path, EVALUATION, "one", lambda: 1_000)

    assert folder.publish("first").name == "results-1.json"
    assert folder.publish("first").name == "results-1.json"
    assert folder.publish("second").name == "results-2.json"
    assert [path.read_text("utf-8") for path in folder.versions()] == ["first", "second"]


def test_an_evaluation_is_created_once(tmp_path: Path) -> None:
    create(tmp_path, EVALUATION, "one", lambda: 1_000)

    with pytest.raises(LedgerError, match="exists already"):
        create(tmp_path, EVALUATION, "two", lambda: 1_000)


def test_folders_are_found_by_themselves_and_by_their_parent(tmp_path: Path) -> None:
    folder = create(tmp_path, EVALUATION, "one", lambda: 1_000)
    (tmp_path / "something else").mkdir()

    assert find(tmp_path) == find(folder.path) == [folder.path]
    with pytest.raises(FormatError):
        find(tmp_path / "missing")


def test_replicas_have_names_of_their_own() -> None:
    assert len({new_replica() for _ in range(100)}) == 100
