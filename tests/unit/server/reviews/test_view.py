"""What is shown while an evaluation is blind: nothing from which a program could read who is who."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from palaver.review.records import Member, Vote
from palaver.server.reviews import view
from palaver.server.reviews.letters import letters
from tests.unit.review import made

KEYS = ("ada", "bob", "cyd")

_names = st.lists(st.text("xyz", min_size=8, max_size=12), min_size=8, max_size=24, unique=True)


def panel(names: list[str]) -> tuple[Member, ...]:
    groups = [names[index : index + 4] for index in range(0, len(names) - len(names) % 4, 4)]
    return tuple(
        Member(key=key, name=name, provider="p", vendor=vendor, model=model) for key, name, vendor, model in groups
    )


@given(_names)
def test_names_keys_vendors_and_models_are_nowhere_until_they_are_revealed(names: list[str]) -> None:
    drawn_up = made.evaluation(panel=panel(names))
    records = [record for record in made.everything(drawn_up)[1:] if not hasattr(record, "text")]
    texts = [made.part(member.key, f"An answer. {made.PASSAGE}") for member in drawn_up.panel]
    matrix = made.matrix(drawn_up, *texts, *records)
    blind = [
        view.evaluation(matrix, "ada", revealed=False),
        view.judgments(matrix, raw=False),
        view.table(matrix, revealed=False),
    ]
    told = msgspec.json.encode(blind).decode()
    assert not [name for member in drawn_up.panel for name in (member.key, member.name) if name in told]
    assert not [name for member in drawn_up.panel for name in (member.vendor, member.model) if name in told]
    open_ = msgspec.json.encode(view.evaluation(matrix, "ada", revealed=True)).decode()
    assert all(member.name in open_ for member in drawn_up.panel)


def test_the_order_of_what_is_shown_is_that_of_the_letters_and_not_of_the_panel() -> None:
    keys = [f"m{number}" for number in range(12)]
    drawn_up = made.evaluation(keys)
    shown = view.evaluation(made.matrix(drawn_up, *made.everything(drawn_up)[1:]), "ada", revealed=True)
    in_order = sorted(letters(drawn_up).values())
    assert [member.letter for member in shown.members] == in_order
    assert [answer.answer for answer in shown.answers] == in_order
    assert [cell.judge for cell in shown.cells] == [letter for letter in in_order for _ in keys]
    assert [member.key for member in shown.members] != keys


def test_a_missing_mark_is_null_with_a_reason_and_never_zero() -> None:
    drawn_up = made.evaluation(KEYS)
    matrix = made.matrix(drawn_up, *made.everything(drawn_up)[1:4])
    cells = view.evaluation(matrix, "ada", revealed=False).cells
    assert {cell.score for cell in cells} == {None}
    assert {cell.reason for cell in cells if cell.status == "excluded"} == {"no member judges its own answer"}
    assert all(score is None for row in view.table(matrix, revealed=False).scores for score in row)


def test_a_voter_sees_their_own_votes_and_everybodys_only_with_the_results() -> None:
    drawn_up = made.evaluation(KEYS)
    votes = [Vote(person=person, respondent="bob", score=9, replica="r", stamp=1) for person in ("u1", "u2")]
    matrix, letter = made.matrix(drawn_up, *votes), letters(drawn_up)["bob"]
    blind = view.evaluation(matrix, "u1", revealed=False)
    assert (blind.your_votes, blind.votes) == ({letter: 9}, None)
    seen = view.evaluation(matrix, "u3", revealed=True)
    assert (seen.your_votes, seen.votes) == ({}, {"A": 0, "B": 0, "C": 0} | {letter: 2})
    assert {cell.score for cell in seen.cells} == {None}, "a vote is no mark"
