"""The explorer finds every fault of the naive lock, none in ours, and says what it explored."""

import pytest

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


def test_all_interleavings_are_counted(valkey: Valkey) -> None:
    """Each actor takes three steps when it gets the lock, and one when it does not: the numbers are known."""
    scenario = Scenario("two rounds", Rule.ONE_HOLDER, KEY, TTL_SECONDS)
    explored = explore(Ours, scenario, host=valkey.host, port=valkey.port)
    # The other's single failing attempt falls before or after the work, or it gets the lock after the release: 3 each.
    assert (explored.schedules, explored.violation) == (6, None)


@pytest.mark.slow
@pytest.mark.parametrize("rule", list(Rule))
def test_ours_breaks_no_rule_in_two_rounds_with_a_crash_and_two_expiries(valkey: Valkey, rule: Rule) -> None:
    scenario = Scenario("hard", rule, KEY, TTL_SECONDS, rounds=(2, 1), passes=1, crashes=1)
    explored = explore(Ours, scenario, host=valkey.host, port=valkey.port)
    assert explored.violation is None
    assert explored.schedules > 100


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
