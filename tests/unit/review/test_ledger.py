"""Partial runs merge in any order to the same bytes, and so does everything computed from them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaver.review.errors import FormatError, LedgerError
from palaver.review.ledger import Ledger, parse_line
from palaver.review.published import encode
from palaver.review.records import Record, Vote
from palaver.review.results import publish
from tests.unit.review import made
from tests.unit.review.made import evaluation, grade, part

EVALUATION = evaluation(("ada", "bob", "cyd", "dee"))
TEXTS = {key: f"{key}: {made.PASSAGE}" for key in ("ada", "bob", "cyd", "dee")}
POOL: list[Record] = [
    *made.everything(EVALUATION)[1:],
    *(part(key, text, stamp=5, replica="there") for key, text in TEXTS.items()),
    *(grade(judge, key, TEXTS[key], (score,) * 5, stamp=score, replica="there")
      for judge in TEXTS for key in TEXTS if judge != key for score in (3, 8)),
    part("ada", "", finish="failed", failure="timeout"),
    grade("bob", "ada", TEXTS["ada"], outcome="unparseable", failure="it is empty"),
    Vote(person="ann", respondent="bob", score=6, replica="there", stamp=9),
]  # fmt: skip


def _ledger(replica: str, records: list[Record], struck: list[Record], now: int) -> Ledger:
    ledger = Ledger(replica, lambda: now)
    for record in (EVALUATION, *records):
        ledger.add(record)
    for record in struck:
        ledger.strike(record)
    return ledger


REPLICAS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(POOL), unique_by=id, max_size=20),
        st.lists(st.sampled_from(POOL), unique_by=id, max_size=3),
        st.integers(0, 10**12),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=1_000, deadline=None)
@given(replicas=REPLICAS, data=st.data())
def test_any_order_and_grouping_of_partial_replicas_gives_equal_bytes(
    replicas: list[tuple[list[Record], list[Record], int]], data: st.DataObject
) -> None:
    made_up = [_ledger(f"replica-{n}", *replica) for n, replica in enumerate(replicas)]
    states = [ledger.encode() for ledger in made_up]
    orders = [data.draw(st.permutations(states)) for _ in range(2)]
    ends = []
    for order in orders:
        ledger = Ledger.decode(order[0], "reader", lambda: 0)
        for state in (*order[1:], *order[:1]):
            ledger.merge(Ledger.decode(state, "other", lambda: 0))
        ends.append(ledger)

    assert ends[0].encode() == ends[1].encode()
    assert encode(publish(ends[0].matrix())) == encode(publish(ends[1].matrix()))


def test_a_ledger_survives_its_canonical_form() -> None:
    ledger = _ledger("here", POOL, POOL[:2], 5)

    again = Ledger.decode(ledger.encode(), "there", lambda: 0)

    assert again.records() == ledger.records()
    assert again.encode() == ledger.encode()


def test_lines_carry_everything_that_a_ledger_knows() -> None:
    ledger = _ledger("here", POOL, POOL[:2], 5)
    other = Ledger("there", lambda: 0)

    assert other.apply(parse_line(str(line), "test") for line in ledger.lines())
    assert not other.apply(ledger.lines())
    assert other.encode() == ledger.encode()


def test_a_struck_record_counts_no_longer_even_where_it_arrives_later() -> None:
    vote = POOL[-1]
    one, two = _ledger("one", [vote], [vote], 5), _ledger("two", [], [], 5)
    added = _ledger("three", [vote], [], 1)

    two.merge(one)
    two.merge(added)

    assert vote not in two


def test_records_of_two_evaluations_never_mix() -> None:
    other = Ledger("other", lambda: 0)
    other.add(evaluation(("eve", "fay")))
    ledger = _ledger("here", [], [], 0)

    with pytest.raises(LedgerError):
        ledger.merge(other)
    with pytest.raises(LedgerError):
        ledger.add(evaluation(("eve", "fay")))


@pytest.mark.parametrize("text", ["", "+", "+12", "12 {}", "*1 {}", "+x {}"])
def test_a_line_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="journal"):
        parse_line(text, "journal.log")


def test_bytes_that_are_no_ledger_are_refused() -> None:
    with pytest.raises(FormatError, match="somewhere"):
        Ledger.decode(b"nonsense", "here", lambda: 0, "somewhere")
