"""Cut answers are found, and joined with their continuation without lost or doubled text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.review.endings import cut, join, open_fence

PROSE = "The lease is renewed at a third of its time, so that two renewals may fail. " * 6
CODE = "Here it is:\n\n```python\n" + "".join(f"value_{n} = compute({n * 37})\n" for n in range(40)) + "```\n\nDone.\n"


@pytest.mark.parametrize(
    ("text", "finish", "tokens", "reason"),
    [
        (PROSE, "stop", 200, None),
        (PROSE, "length", 200, "at its limit"),
        (CODE[:200], "stop", 200, "open code fence"),
        (CODE, "stop", 200, None),
        ("", "stop", 400, "empty with tokens used"),
        ("  \n", "length", 0, "empty with tokens used"),
        ("", "stop", 0, None),
        ("I think", "stop", 1_000, "short with a full bill"),
        ("42", "stop", 3, None),
    ],
)
def test_a_cut_answer_is_found_without_asking_a_model(text: str, finish: str, tokens: int, reason: str | None) -> None:
    assert cut(text, finish, tokens, limit=1_000) == reason


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("```\ncode\n```", False),
        ("```python\ncode", True),
        ("````md\n```\ninner\n```\n", True),
        ("````md\n```\ninner\n```\n````", False),
        ("~~~\n```\n~~~", False),
        ("use ``` inline", False),
        ("1. item\n   ```sh\n   ls\n   ```", False),
        ("```\na\n```python\nb", True),
    ],
)
def test_code_fences_are_counted_as_commonmark_does(text: str, is_open: bool) -> None:
    assert open_fence(text) is is_open


@given(st.integers(20, len(CODE) - 1), st.sampled_from([0, 20, 60, 300]))
def test_a_continuation_that_repeats_some_text_joins_to_the_whole(position: int, repeats: int) -> None:
    start = max(0, position - repeats)

    joined = join(CODE[:position], CODE[start:])

    assert joined == CODE


@given(st.text(min_size=1), st.text())
def test_joining_loses_nothing_but_a_repetition(first: str, second: str) -> None:
    joined = join(first, second)

    if first.strip():
        assert joined.startswith(first)
    assert joined.endswith(second[-1:])
    assert len(joined) <= len(first) + len(second)


def test_a_block_that_is_opened_again_is_joined_inside_the_block() -> None:
    position = CODE.index("value_20")

    assert join(CODE[:position], "```python\n" + CODE[position:]) == CODE


def test_a_ruler_that_goes_on_is_not_taken_for_a_repetition() -> None:
    assert join("title\n" + "-" * 20, "-" * 20 + "\ntext") == "title\n" + "-" * 40 + "\ntext"


def test_an_empty_first_part_leaves_the_second_as_it_is() -> None:
    assert join("\n", "text") == "text"
