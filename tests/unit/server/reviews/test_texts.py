"""What is said in a room fits, closes its fences, and names nobody before the end."""

import re

from hypothesis import given
from hypothesis import strategies as st

from palaver.chat.names import text_problem
from palaver.review.matrix import Answer
from palaver.server.reviews import texts
from palaver.server.reviews.letters import letters
from tests.unit.review import made

KEYS = ("ada", "bob", "cyd")


@given(st.text(st.sampled_from("ab \n`~\x00\x1b\ud800") | st.characters(), max_size=600), st.integers(200, 400))
def test_any_answer_becomes_a_text_that_a_room_takes(text: str, chars: int) -> None:
    said = texts.answer(Answer("ada", "complete", "x" + text), chars)
    assert text_problem(said, chars) is None


def test_a_fence_that_is_left_open_is_closed_before_the_note() -> None:
    said = texts.answer(Answer("ada", "cut", "See:\n```python\nprint(1)"), 500)
    assert said == "See:\n```python\nprint(1)\n```\n\n*(This answer was cut off at its limit.)*"


def test_a_long_answer_is_shortened_at_a_line_and_says_so() -> None:
    said = texts.answer(Answer("ada", "complete", "\n".join(f"line {n}" for n in range(100))), 300)
    assert len(said) <= 300
    assert re.search(r"line \d+\n\n\*\(Shortened; the whole answer of 789 characters", said)


def test_letters_are_the_same_after_a_restart_and_depend_on_the_secret_seed() -> None:
    evaluation = made.evaluation(KEYS)
    assert letters(evaluation) == letters(made.evaluation(KEYS))
    assert sorted(letters(evaluation).values()) == ["A", "B", "C"]
    many = made.evaluation([f"m{n}" for n in range(30)])
    assert len(set(letters(many).values())) == 30
    assert list(letters(many)) != [member.key for member in many.panel]


def test_the_first_message_names_no_model() -> None:
    matrix = made.matrix(made.evaluation(KEYS))
    said = texts.started(matrix, letters(matrix.evaluation), 4_000)
    assert "3 models answer as A, B, C" in said
    assert not [key for key in KEYS if key.title() in said]


def test_the_ranking_says_who_is_who_also_of_those_without_a_mark() -> None:
    matrix = made.matrix(made.evaluation(KEYS))
    said = texts.ranking(matrix, letters(matrix.evaluation), 4_000, "The spending cap is reached.")
    assert all(key.title() in said for key in KEYS)
    assert "nobody won" in said
    assert said.endswith("The spending cap is reached.")
