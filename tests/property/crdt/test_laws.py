"""The laws of the set on the program itself, for stamps of every kind; the proofs say the same of every size."""

from collections.abc import Iterable
from itertools import combinations_with_replacement, permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.crdt_parts import laws as fuzz
from palaver.crdt import MAX_STAMP, MIN_STAMP, Bias, HybridLogicalClock, LWWElementSet, merged
from tests.property.crdt.specification import Update, apply, specified

pytestmark = pytest.mark.usefixtures("joining")

Members = LWWElementSet[str]
BIASES: tuple[Bias, Bias] = ("add", "remove")
CLOCK = HybridLogicalClock("laws", lambda: 1_000_000, max_drift=None)

STAMPS = st.integers(-2, 3) | st.sampled_from([MIN_STAMP, MAX_STAMP, 1_000_000 << 17, 1_090_000 << 17])
UPDATES = st.builds(Update, st.sampled_from(["ada", "bob", "cy"]), st.booleans(), STAMPS)
HISTORIES = st.lists(UPDATES, max_size=12)
EITHER_BIAS = st.sampled_from(BIASES)


def written(updates: Iterable[Update], bias: Bias) -> Members:
    members = Members(bias=bias, clock=CLOCK)
    for update in updates:
        apply(members, update)
    return members


@given(HISTORIES, HISTORIES, EITHER_BIAS)
def test_merge_is_commutative(one: list[Update], other: list[Update], bias: Bias) -> None:
    a, b = written(one, bias), written(other, bias)

    assert merged(a, b).state_equal(merged(b, a))
    assert merged(a, b).encode() == merged(b, a).encode()


@given(HISTORIES, HISTORIES, HISTORIES, EITHER_BIAS)
def test_merge_is_associative(one: list[Update], two: list[Update], three: list[Update], bias: Bias) -> None:
    a, b, c = (written(updates, bias) for updates in (one, two, three))

    assert merged(merged(a, b), c).state_equal(merged(a, merged(b, c)))


@given(HISTORIES, HISTORIES, EITHER_BIAS)
def test_merge_is_idempotent(one: list[Update], other: list[Update], bias: Bias) -> None:
    a, b = written(one, bias), written(other, bias)

    assert merged(a, a).state_equal(a)
    a.merge(b)
    once = a.copy()
    assert not a.merge(b)
    assert not a.merge(b.delta_since(None))
    assert a.state_equal(once)


@given(HISTORIES, HISTORIES, EITHER_BIAS)
def test_merge_is_the_least_upper_bound(one: list[Update], other: list[Update], bias: Bias) -> None:
    a, b = written(one, bias), written(other, bias)
    both, above = merged(a, b), written([*one, *other], bias)

    assert both.dominates(a)
    assert both.dominates(b)
    assert above.dominates(both)
    assert both.dominates(above)


@given(HISTORIES, UPDATES, EITHER_BIAS)
def test_a_write_only_raises_the_state_and_its_delta_is_the_difference(
    history: list[Update], update: Update, bias: Bias
) -> None:
    before, after = written(history, bias), written(history, bias)

    delta = apply(after, update)

    assert after.dominates(before)
    assert bool(delta) == (not before.dominates(after))
    before.merge(delta)
    assert before.state_equal(after)


@given(HISTORIES, HISTORIES, EITHER_BIAS)
def test_what_merge_returns_is_the_difference_and_no_more(one: list[Update], other: list[Update], bias: Bias) -> None:
    a, b = written(one, bias), written(other, bias)
    before = a.copy()

    delta = a.merge(b)

    for element, cell in delta.items():
        assert before._cell_of(element) < cell == a._cell_of(element)
    before.merge(delta)
    assert before.state_equal(a)


@given(HISTORIES, EITHER_BIAS, st.randoms(use_true_random=False))
def test_lookup_is_the_specification_in_any_order_and_number(history: list[Update], bias: Bias, random: object) -> None:
    shuffled = history * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis gives a random.Random
    members = written(shuffled, bias)

    assert members.frozen() == specified(history, bias)
    assert {element for element in ("ada", "bob", "cy") if members.lookup(element)} == members.frozen()
    assert members.state_equal(written(history, bias))


def test_every_history_of_up_to_four_writes_is_the_specification_in_every_order() -> None:
    """Exhaustive: two elements, three stamps, both kinds, both biases, every order."""
    every = [Update(*choice) for choice in product(("ada", "bob"), (True, False), (-1, 0, 1))]
    for bias in BIASES:
        for count in range(4):
            for history in combinations_with_replacement(every, count):
                expected = specified(history, bias)
                assert all(written(order, bias).frozen() == expected for order in permutations(history))
        for history in combinations_with_replacement(every, 4):
            assert written(history, bias).frozen() == specified(history, bias)
            assert merged(written(history[2:], bias), written(history[:2], bias)).frozen() == specified(history, bias)


def test_no_law_is_broken_in_random_histories() -> None:
    """The benchmark runs a million of these."""
    assert fuzz.search(seed=11, runs=3_000) == {}
