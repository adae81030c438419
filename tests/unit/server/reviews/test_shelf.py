"""Cards: what is finished is not read again, what is not is found, and a card is never the only truth."""

from pathlib import Path

from msgspec import structs

from palaver.review.folder import new_replica
from palaver.review.published import encode
from palaver.review.records import Evaluation
from palaver.review.results import publish
from palaver.server.reviews.shelf import Shelf
from tests.unit.review import made

EVALUATION = structs.replace(made.evaluation(("ada", "bob", "cyd")), room="lobby", asker="u1")


def shelf(root: Path) -> Shelf:
    """A shelf of another process, which writes under another name."""
    return Shelf(root, new_replica(), lambda: 1_000)


def finished(root: Path, evaluation: Evaluation = EVALUATION) -> Shelf:
    keeping = shelf(root)
    folder = keeping.create(evaluation, "m-1")
    for record in made.everything(evaluation)[1:]:
        folder.write(folder.ledger.add(record))
    folder.publish(encode(publish(folder.matrix())))
    keeping.finish(folder, 1)
    folder.close()
    return keeping


def test_what_has_no_card_is_unfinished_and_what_has_one_is_not_opened(tmp_path: Path) -> None:
    finished(tmp_path)
    shelf(tmp_path).create(structs.replace(EVALUATION, id="EVAL-20260101-000001"), "m-2").close()
    journal = next((tmp_path / EVALUATION.id / "journal").iterdir())
    journal.write_text("not looked at")
    again = shelf(tmp_path)
    unfinished, broken = again.load()
    assert [folder.path.name for folder in unfinished] == ["EVAL-20260101-000001"]
    assert broken == []
    assert [(card.id, card.told) for card in again.cards()] == [("EVAL-20260101-000001", 0), (EVALUATION.id, 1)]


def test_a_lost_card_is_made_anew_and_names_stay_out(tmp_path: Path) -> None:
    before = finished(tmp_path).card(EVALUATION.id)
    (tmp_path / EVALUATION.id / "card.json").write_text("{")
    again = shelf(tmp_path)
    unfinished, _ = again.load()
    assert len(unfinished) == 1
    assert again.card(EVALUATION.id) == before, "its results were published, so they still are"


def test_a_folder_that_cannot_be_read_is_told_and_stops_nobody(tmp_path: Path) -> None:
    finished(tmp_path)
    (tmp_path / "EVAL-20260101-000009" / "journal").mkdir(parents=True)
    again = shelf(tmp_path)
    unfinished, broken = again.load()
    assert unfinished == []
    assert [path.name for path, _ in broken] == ["EVAL-20260101-000009"]
    assert again.latest("lobby") is not None
    assert again.latest("attic") is None


def test_the_message_that_asked_is_remembered(tmp_path: Path) -> None:
    keeping = finished(tmp_path)
    assert keeping.asked_by("m-1") == EVALUATION.id
    assert keeping.asked_by("m-2") is None
    assert keeping.taken(EVALUATION.id)
    assert not keeping.taken("EVAL-20260101-000001")


async def test_votes_are_kept_beside_a_run_and_the_latest_of_a_person_counts(tmp_path: Path) -> None:
    keeping = finished(tmp_path)
    scored = keeping.matrix(EVALUATION.id).scored
    await keeping.vote(EVALUATION.id, "u1", {"ada": 3, "bob": 9})
    await keeping.vote(EVALUATION.id, "u2", {"ada": 7})
    matrix = keeping.matrix(EVALUATION.id)
    assert {(vote.person, vote.respondent, vote.score) for vote in matrix.votes} == {
        ("u1", "ada", 3), ("u1", "bob", 9), ("u2", "ada", 7),
    }  # fmt: skip
    assert matrix.scored == scored


def test_a_reopened_evaluation_is_unfinished_until_it_ends_again(tmp_path: Path) -> None:
    finished(tmp_path).reopen(EVALUATION.id)
    unfinished, _ = shelf(tmp_path).load()
    assert [folder.path.name for folder in unfinished] == [EVALUATION.id]
