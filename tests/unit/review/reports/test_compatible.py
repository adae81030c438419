"""The published report comes out byte for byte."""

from pathlib import Path

import msgspec
import pytest

from palaver.review.published import decode
from palaver.review.reports.compatible import Imprint, axis_name, imprint_of, render

EXAMPLES = Path(__file__).parents[4] / "examples" / "review"


def test_the_published_report_comes_out_byte_for_byte() -> None:
    document = decode((EXAMPLES / "EVAL-20260402-133034.json").read_bytes())

    assert render(document).encode() == (EXAMPLES / "EVAL-20260402-133034.md").read_bytes()


def test_without_a_winner_one_sentence_replaces_the_figures() -> None:
    text = render(decode((EXAMPLES / "EVAL-20260402-132144.json").read_bytes()))

    assert "## Winner\n\nNo winner determined.\n\n---\n" in text
    assert "Matrix Average" not in text


def test_an_empty_matrix_has_a_header_without_columns() -> None:
    document = decode((EXAMPLES / "EVAL-20260402-132144.json").read_bytes())
    empty = msgspec.structs.replace(document, judgments=(), rankings={}, avg_score=None, models_used=(), matrix_size=0)

    assert "| Judge ↓ / Resp → |\n|---|\n\n---" in render(empty)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Gemini 3 Flash Preview", "Gemini 3"),
        ("Gemini 3.1 Pro", "Gemini 3.1 Pro"),
        ("Averyveryverylongword", "Averyveryverylongword"),
    ],
)
def test_axis_names_are_shortened_to_two_words_beyond_fourteen_characters(name: str, short: str) -> None:
    assert axis_name(name) == short


def test_a_source_without_an_address_gets_no_download_lines() -> None:
    assert imprint_of({"source": "Our lab"}) == Imprint("Our lab", None)
    document = decode((EXAMPLES / "EVAL-20260402-132144.json").read_bytes())

    assert "Download" not in render(msgspec.structs.replace(document, meta={"source": "Our lab"}))
