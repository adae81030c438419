"""The explorer finds every fault of the naive lock, none in ours, and says what it explored."""

import pytest

from palaver.lock import Lease
from palaver.lock.testing import Rule, Scenario, explore
from palaver.lock.testing.adapters import KEY, TTL_SECONDS, Ours, naive
from palaver.lock.testing.demonstration import FAULTS, Fault, show
from palaver.lock.testing.explorer import LogicalClock
from tests.valkey import Valkey


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.scenario.name)
def test_each_fault_of_the_naive_lock_is_found_and_ours_has_none(valkey: Valkey, fault: Fault) -> None:
    theirs, ours = show(fault, host=valkey.host, port=valkey.port)
    assert theirs.violation is not None
    assert theirs.violation.rule is fault.scenario.rule
    assert ours.violation is None
    assert ours.schedules > 1, "one schedule is no exploration"


def test_a_schedule_that_broke_a_rule_breaks_it_again(valkey: Valkey) -> None:
    first, second = (show(FAULTS[0], host=valkey.host, port=valkey.port)[0] for _ in range(2))
    assert first.schedules == second.schedules
    assert first.violation is not None
    assert second.violation is not None
    assert len(first.violation.schedule) == len(second.violation.schedule)


def count_by_hand(done: tuple[int, int] = (0, 0), holder: int | None = None) -> int:
    """The schedules of two actors that each begin, try, work and release: counted without any lock."""
    ended = 4
    if done == (ended, ended):
        return 1
    total = 0
    for actor in (0, 1):
        if done[actor] == ended:
            continue
        step, now_holds, after = done[actor], holder, done[actor] + 1
        if step == 1:
            now_holds, after = (actor, 2) if holder is None else (holder, ended)
        if step == 3:
            now_holds = None
        total += count_by_hand((after, done[1]) if actor == 0 else (done[0], after), now_holds)
    return total


def test_all_interleavings_are_explored_and_no_other(valkey: Valkey) -> None:
    scenario = Scenario("one round", Rule.ONE_HOLDER, KEY, TTL_SECONDS)
    explored = explore(Ours, scenario, host=valkey.host, port=valkey.port)
    assert (explored.schedules, explored.violation) == (count_by_hand(), None)


def test_a_lock_that_depends_on_chance_is_refused(valkey: Valkey) -> None:
    class Fickle(Ours):
        tries = 0

        def try_acquire(self) -> Lease | None:
            Fickle.tries += 1
            return super().try_acquire() if Fickle.tries % 3 else None

    with pytest.raises(RuntimeError, match="chance"):
        explore(Fickle, Scenario("", Rule.ONE_HOLDER, KEY, TTL_SECONDS), host=valkey.host, port=valkey.port)


@pytest.mark.parametrize("rule", list(Rule))
def test_ours_breaks_no_rule_with_a_crash_and_an_expiry(valkey: Valkey, rule: Rule) -> None:
    scenario = Scenario("both", rule, KEY, TTL_SECONDS, passes=1, crashes=1)
    explored = explore(Ours, scenario, host=valkey.host, port=valkey.port)
    assert explored.violation is None
    assert explored.schedules > 100


@pytest.mark.nightly
@pytest.mark.parametrize("rule", list(Rule))
def test_ours_breaks_no_rule_in_two_rounds_each(valkey: Valkey, rule: Rule) -> None:
    scenario = Scenario("hard", rule, KEY, TTL_SECONDS, rounds=(2, 2), passes=1)
    explored = explore(Ours, scenario, host=valkey.host, port=valkey.port)
    assert explored.violation is None
    assert explored.schedules > 1000


def test_the_naive_lock_breaks_no_rule_where_nothing_befalls_it(valkey: Valkey) -> None:
    """Or the explorer would find faults in anything."""
    scenario = Scenario("calm", Rule.ONE_HOLDER, KEY, TTL_SECONDS)
    assert explore(naive(), scenario, host=valkey.host, port=valkey.port).violation is None


def test_logical_time_only_passes_when_told() -> None:
    clock = LogicalClock()
    before = clock()
    assert clock() == before
    clock.now += 10
    assert clock() == before + 10
