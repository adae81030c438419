"""The grid shows every cell with its reason; blind, it gives nobody away."""

import msgspec

from palaver.review import grid
from palaver.review.blind import label
from palaver.review.matrix import Matrix
from tests.unit.review import dossiers, made


def _cells(shown: grid.Grid) -> dict[tuple[str, str], grid.GridCell]:
    return {(cell.judge, cell.respondent): cell for cell in shown.cells}


def test_every_missing_cell_has_its_reason_and_no_zero() -> None:
    shown = grid.of_matrix(dossiers.eventful())

    without = [cell for cell in shown.cells if cell.score is None]
    assert all(cell.reason for cell in without)
    assert shown.missing == {"answer refused": 4, "it is empty": 1}
    assert shown.scored + len(without) == 25
    assert {answer.member: answer.status for answer in shown.answers} == {
        "ada": "cut", "bob": "continued", "cyd": "refused", "dee": "complete", "eve": "complete",
    }  # fmt: skip


def test_marks_are_shown_by_criterion() -> None:
    cell = _cells(grid.of_matrix(dossiers.eventful()))["ada", "bob"]

    assert list(cell.scores or {}) == ["correctness", "completeness", "clarity", "depth", "usefulness"]
    assert cell.score is not None
    assert cell.score > 0


def test_a_blind_grid_names_nobody_and_holds_no_text() -> None:
    matrix = dossiers.eventful()

    shown = grid.of_matrix(matrix, revealed=False)
    written = msgspec.json.encode(shown).decode()

    for key in dossiers.KEYS:
        assert f'"{key}"' not in written
        assert key.title() not in written
    assert made.PASSAGE[:20] not in written
    assert "Sound." not in written
    assert matrix.evaluation.seed not in written


def test_a_blind_grid_has_the_same_marks_in_another_order_under_labels_no_judge_saw() -> None:
    matrix = dossiers.eventful()
    blind, revealed = grid.of_matrix(matrix, revealed=False), grid.of_matrix(matrix)

    assert sorted(cell.score or -1 for cell in blind.cells) == sorted(cell.score or -1 for cell in revealed.cells)
    assert len({member.key for member in blind.members}) == 5
    assert not {member.key for member in blind.members} & _labels(matrix)
    assert all((cell.judge == cell.respondent) <= (cell.status == "excluded") for cell in blind.cells)


def _labels(matrix: Matrix) -> set[str]:
    return {label(matrix.evaluation.seed, judge, key) for judge in dossiers.KEYS for key in dossiers.KEYS}


def test_a_published_file_gives_the_same_form_with_what_it_knows() -> None:
    shown = dossiers.of_seed().grid

    assert shown.scored == 88
    assert shown.missing == {grid.UNPUBLISHED: 2}
    assert len(shown.members) == 10
    assert _cells(shown)["grok_420", "gemini_3_flash"].scores is None


def test_equal_grids_have_equal_digests() -> None:
    one, other = dossiers.of_seed().grid, dossiers.of_seed("EVAL-20260402-132144").grid

    assert grid.content_digest(one) == grid.content_digest(dossiers.of_seed().grid)
    assert grid.content_digest(one) != grid.content_digest(other)
