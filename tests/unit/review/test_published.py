"""The published result file is read, derived and written back without a difference."""

from pathlib import Path

import msgspec
import pytest

from palaver.review.errors import FormatError
from palaver.review.published import PublishedJudgment, decode, derive, display_date, encode

EXAMPLES = Path(__file__).parents[3] / "examples" / "review"
FILES = sorted(EXAMPLES.glob("EVAL-*.json"))


def test_both_published_evaluations_are_shipped() -> None:
    assert [path.stem for path in FILES] == ["EVAL-20260402-132144", "EVAL-20260402-133034"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_reading_and_writing_gives_the_same_bytes(path: Path) -> None:
    raw = path.read_bytes()

    assert encode(decode(raw)).encode() == raw


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_computed_field_follows_from_the_judgments(path: Path) -> None:
    document = decode(path.read_bytes())
    providers = {model.id: model.provider for model in document.models_used}

    derived = derive(document.judgments, providers, document.timestamp)

    for field in derived.__struct_fields__:
        if field != "no_winner_because":
            assert getattr(derived, field) == getattr(document, field), field


def test_a_panel_member_who_left_no_trace_still_counts_for_the_quorum() -> None:
    cell = PublishedJudgment("a", "A", "x", "X", 5.0, "")

    assert derive([cell], {}, "2026-04-02T00:00:00Z").winner is not None
    assert derive([cell], {}, "2026-04-02T00:00:00Z", pool=10).winner is None


def test_non_ascii_text_is_kept() -> None:
    document = msgspec.structs.replace(decode(FILES[0].read_bytes()), question_text="Größe, 大きさ")

    assert "Größe, 大きさ" in encode(document)


@pytest.mark.parametrize("text", ["", "{}", '{"evaluation_id": 7}', "[1, 2", b"\xff\xfe"])
def test_something_else_is_refused_and_named(text: str | bytes) -> None:
    with pytest.raises(FormatError, match=r"somewhere\.json"):
        decode(text, "somewhere.json")


def test_the_date_is_shown_as_the_published_form_shows_it() -> None:
    assert display_date("2026-04-02T13:30:34.106Z") == "Apr 02, 2026"
