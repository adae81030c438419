"""The core by itself: what a breaker's face hides, because looking at it settles first what is due."""

import pytest

from palaver.breaker import (
    Cause,
    Config,
    Mode,
    Outcome,
    Reason,
    State,
    consecutive,
    failure_rate,
    last,
    seconds,
    slow_rate,
)
from palaver.breaker.core import Core
from palaver.breaker.round import Lease
from palaver.breaker.tickets import InFlight, Refusal, Ticket


@pytest.fixture
def core() -> Core:
    return half_open(Config(failure_threshold=1, open_for=10, probe_timeout=4))


def half_open(config: Config) -> Core:
    """A circuit that opened at 0 and may be probed from 10 on."""
    core = Core(config, 0.0)
    fail(core, 0.0)
    opening = core.rest.claim()
    assert opening is not None
    core.decide(opening, 10.0)
    return core


def admitted(core: Core, now: float) -> Ticket:
    ticket = core.admit(now)
    assert not isinstance(ticket, Refusal)
    return ticket


def fail(core: Core, now: float, *, asked: float | None = None) -> None:
    core.settle(admitted(core, now), Outcome.FAILURE, 0.0, now, None, asked)


def test_admission_itself_ends_a_lease_that_has_run_out(core: Core) -> None:
    admitted(core, 10.0)
    assert core.admit(13.5) == Refusal(State.HALF_OPEN, Reason.PROBE_LIMIT, 0.5)
    refusal = core.admit(14.5)
    assert isinstance(refusal, Refusal)
    assert (refusal.state, refusal.reason) == (State.OPEN, Reason.OPEN)
    assert core.since == 14.0
    assert (core.tally.rejected_probe_limit, core.tally.rejected_open) == (1, 1)


def test_the_rest_of_the_wait_is_what_a_rejection_says(core: Core) -> None:
    assert core.admit(3.0) == Refusal(State.OPEN, Reason.OPEN, 7.0)


def test_a_result_itself_ends_the_lease_that_ran_out_before_it(core: Core) -> None:
    lease = admitted(core, 10.0)
    core.settle(lease, Outcome.SUCCESS, 4.0, 14.0)
    assert core.state is State.OPEN
    assert core.tally.late == 1


def test_the_doors_say_who_need_not_ask(core: Core) -> None:
    assert (core.door, core.shut_until) == (None, 10.0)
    lease = admitted(core, 10.0)
    assert (core.door, core.shut_until) == (None, float("-inf"))
    core.settle(lease, Outcome.SUCCESS, 0.0, 11.0)
    assert core.door is core.era
    assert Core(Config(hang_after=5), 0.0).door is None


def test_after_the_ramp_nobody_need_ask_any_more() -> None:
    core = half_open(Config(failure_threshold=1, ramp=10))
    core.settle(admitted(core, 10.0), Outcome.SUCCESS, 0.0, 10.0)
    assert core.door is None
    admitted(core, 10.0)
    assert core.admit(10.0) == Refusal(State.CLOSED, Reason.RAMP, 0.0)
    admitted(core, 20.0)
    assert core.door is core.era


def test_a_new_circuit_wants_holds_and_grants_nothing() -> None:
    core = Core(Config(), 7.0)
    assert (core.wanted, core.held, core.observed, core.grants, core.rest.attempt) == (False, False, False, None, 0)
    assert (core.opens, core.transitions, core.streak, core.since, core.last_success_at) == (0, 0, 0, 7.0, None)
    assert core.door is core.era
    assert core.rest.until <= core.since, "there is nothing to wait for"


def test_a_sample_that_arrives_after_its_era_is_late() -> None:
    core = Core(Config(failure_threshold=9), 0.0)
    old = core.era
    core.reset(1.0, "by the test")
    old.samples += [0.1, 0.1]
    core.collect(old)
    assert (core.tally.late, core.tally.outcomes()[Outcome.SUCCESS]) == (2, 0)
    core.force_open(2.0, "by the test")
    core.era.samples.append(0.1)
    core.advance(3.0)
    assert (core.tally.late, core.era.samples) == (3, [])


def test_a_sample_ends_the_streak_and_is_in_the_window() -> None:
    core = Core(Config(trip=failure_rate(1, over=seconds(30), min_calls=50)), 0.0)
    fail(core, 0.0)
    assert core.streak == 1
    core.era.samples += [0.1, 0.3]
    core.advance(1.0)
    assert (core.streak, core.era.window.calls, core.era.window.failures) == (0, 3, 1)
    assert core.tally.seconds == pytest.approx(0.4)


def test_an_operator_who_opens_a_stable_circuit_begins_the_back_off_anew() -> None:
    for quiet, attempt in ((9.0, 1), (10.0, 0)):
        core = half_open(Config(failure_threshold=1))
        core.settle(admitted(core, 10.0), Outcome.SUCCESS, 0.0, 10.0)
        core.force_open(10.0 + quiet, "by the test")
        assert core.rest.attempt == attempt


def test_an_operators_step_collects_what_came_before_it() -> None:
    core = Core(Config(), 0.0)
    core.era.samples.append(0.1)
    core.force_open(1.0, "by the test")
    core.refused.append(2.0)
    core.reset(3.0, "by the test")
    assert (core.tally.outcomes()[Outcome.SUCCESS], core.tally.late, core.tally.rejected_open) == (1, 0, 1)


def test_a_reset_admits_everybody_also_where_recovery_would_begin_with_a_ramp() -> None:
    core = half_open(Config(failure_threshold=1, ramp=10))
    core.reset(5.0, "by the test")
    assert core.door is core.era
    assert not core.ramp.active


class TestHanging:
    """Calls in flight for too long count before they end, and once."""

    @pytest.fixture
    def core(self) -> Core:
        return Core(Config(failure_threshold=3, hang_after=5), 0.0)

    def test_a_call_that_ends_in_time_counts_as_it_ends_and_is_watched_no_longer(self, core: Core) -> None:
        ticket = admitted(core, 0.0)
        assert isinstance(ticket, InFlight)
        core.settle(ticket, Outcome.FAILURE, 4.0, 4.0)
        assert (core.streak, len(core.watch)) == (1, 0)
        admitted(core, 6.0)
        assert (core.tally.hung, core.streak, len(core.watch)) == (0, 1, 1)

    def test_what_a_counted_call_brings_later_weighs_nothing_but_is_tallied(self, core: Core) -> None:
        hanging = admitted(core, 0.0)
        admitted(core, 5.0)
        assert (core.tally.hung, core.streak) == (1, 1)
        core.settle(hanging, Outcome.SUCCESS, 6.0, 6.0)
        assert (core.streak, core.tally.outcomes()[Outcome.SUCCESS]) == (1, 1)

    def test_it_is_one_failed_and_slow_call_of_the_window(self) -> None:
        core = Core(Config(trip=failure_rate(1, over=last(9), min_calls=9), hang_after=5), 0.0)
        admitted(core, 0.0)
        admitted(core, 5.0)
        window = core.era.window
        assert (window.calls, window.failures, window.slow) == (1, 1, 1)

    def test_calls_of_an_earlier_era_are_counted_as_hung_and_weigh_nothing(self, core: Core) -> None:
        admitted(core, 0.0)
        core.reset(1.0, "by the test")
        admitted(core, 5.0)
        assert (core.tally.hung, core.streak) == (1, 0)

    def test_calls_that_still_hang_when_the_circuit_is_open_are_counted_and_weigh_nothing(self, core: Core) -> None:
        admitted(core, 0.0)
        core.force_open(1.0, "by the test")
        assert core.admit(5.0) == Refusal(State.OPEN, Reason.FORCED, None)
        assert (core.tally.hung, core.streak, core.era.window.calls) == (1, 0, 0)

    def test_a_hang_of_an_earlier_era_is_no_new_evidence(self) -> None:
        core = Core(Config(trip=failure_rate(0.5, over=seconds(10), min_calls=2), hang_after=50), 0.0)
        admitted(core, 0.0)
        core.reset(1.0, "by the test")
        core.settle(admitted(core, 40.0), Outcome.SUCCESS, 0.0, 40.0)
        core.settle(admitted(core, 40.0), Outcome.SUCCESS, 0.0, 40.0)
        for outcome in (Outcome.FAILURE, Outcome.SUCCESS):
            core.settle(admitted(core, 45.0), outcome, 0.0, 45.0)
        admitted(core, 50.0)  # half of what is left has failed
        assert (core.tally.hung, core.state) == (1, State.CLOSED)

    def test_a_hang_is_slow_too(self) -> None:
        core = Core(Config(trip=slow_rate(1, over=last(2), min_calls=2), slow_after=9, hang_after=5), 0.0)
        admitted(core, 0.0)
        admitted(core, 0.0)
        refusal = core.admit(5.0)
        assert isinstance(refusal, Refusal)
        assert refusal.state is State.OPEN


class TestProbes:
    """What ends a probe, and what the server asks for by it."""

    def test_what_a_failed_probe_asks_for_lengthens_the_wait(self, core: Core) -> None:
        fail(core, 10.0, asked=60.0)
        opening = core.rest.claim()
        assert opening is not None
        core.decide(opening, 20.0)
        assert core.rest.until == 70.0

    def test_also_less_than_a_second_is_asked_for(self) -> None:
        for asked, until in ((0.5, 0.5), (0.1, 0.2)):
            core = Core(Config(failure_threshold=1), 0.0)
            fail(core, 0.0, asked=asked)
            opening = core.rest.claim()
            assert opening is not None
            core.decide(opening, 0.2)
            assert core.rest.until == until

    def test_a_slow_probe_reopens_only_if_a_rule_looks_at_slow_calls(self) -> None:
        for rule, state in (
            (consecutive(1), State.CLOSED),
            (consecutive(1) | slow_rate(1, over=last(9), min_calls=9), State.OPEN),
        ):
            core = half_open(Config(trip=rule, slow_after=2))
            core.settle(admitted(core, 10.0), Outcome.SUCCESS, 2.0, 12.0)
            assert core.state is state

    def test_an_unreachable_or_ignored_probe_gives_its_place_back_without_a_verdict(self, core: Core) -> None:
        for outcome in (Outcome.UNREACHABLE, Outcome.IGNORED, Outcome.CANCELLED):
            core.settle(admitted(core, 10.0), outcome, 0.0, 10.0)
            assert core.state is State.HALF_OPEN

    def test_a_renewed_lease_runs_anew_and_one_that_ran_out_does_not(self, core: Core) -> None:
        lease = admitted(core, 10.0)
        assert isinstance(lease, Lease)
        core.renew(lease, 13.0)
        assert core.seen_state(16.9) is State.HALF_OPEN
        core.advance(16.9)
        assert core.since == 10.0
        core.renew(lease, 17.0)
        assert (core.state, core.since) == (State.OPEN, 17.0)

    def test_a_lease_gives_its_place_back_once(self, core: Core) -> None:
        lease = admitted(core, 10.0)
        core.settle(lease, Outcome.CANCELLED, 0.0, 11.0)
        core.settle(lease, Outcome.SUCCESS, 0.0, 11.0)
        assert (core.state, core.tally.late) == (State.HALF_OPEN, 1)

    def test_the_first_of_several_leases_to_run_out_ends_the_round(self) -> None:
        core = half_open(Config(failure_threshold=1, probe_timeout=4, close_after=2, probe_concurrency=2))
        admitted(core, 10.0)
        admitted(core, 12.0)
        assert core.retry_after(13.0) == 1.0
        core.advance(14.0)
        assert (core.state, core.since) == (State.OPEN, 14.0)

    @pytest.mark.parametrize("at_once", [1, 2])
    def test_no_more_probes_are_under_way_at_once_than_permitted(self, at_once: int) -> None:
        core = half_open(Config(failure_threshold=1, close_after=4, probe_concurrency=at_once))
        for _ in range(at_once):
            admitted(core, 10.0)
        assert isinstance(core.admit(10.0), Refusal)

    def test_an_opening_is_handed_out_once(self) -> None:
        core = Core(Config(failure_threshold=1), 0.0)
        assert core.rest.claim() is None
        fail(core, 0.0)
        assert core.rest.claim() is core.rest.pending is not None
        assert core.rest.claim() is None


class TestFleet:
    """What shared state asks of a circuit: probes by grant, and following others."""

    def test_without_a_grant_a_call_is_rejected_and_remembered_as_wanting(self, core: Core) -> None:
        core.grant(0)
        assert core.admit(10.0) == Refusal(State.HALF_OPEN, Reason.PROBE_LIMIT, 0.0)
        wanting = core.wanted
        core.stop_wanting()
        assert (wanting, core.wanted) == (True, False)

    def test_each_grant_is_one_probe(self) -> None:
        core = half_open(Config(failure_threshold=1, close_after=3, probe_concurrency=3))
        core.grant(0)
        core.admit(10.0)
        core.grant(1)
        admitted(core, 10.0)
        assert core.grants == 0
        assert isinstance(core.admit(10.0), Refusal)
        core.grant(None)
        admitted(core, 10.0)
        assert core.grants is None

    def test_a_grant_does_not_outlive_its_round(self, core: Core) -> None:
        core.grant(5)
        core.admit(10.0)
        assert core.grants == 0, "the round has just begun"

    def test_it_follows_a_peer_that_opened_for_longer(self) -> None:
        core = Core(Config(), 0.0)
        core.peer_opened(5.0, 30.0, 4, "3 failures in a row (at a)")
        assert (core.state, core.rest.until, core.rest.attempt) == (State.OPEN, 35.0, 4)
        core.peer_opened(6.0, 10.0, 9, "sooner")
        assert (core.rest.until, core.rest.attempt) == (35.0, 4)
        core.peer_opened(6.0, 40.0, 5, "later")
        assert (core.rest.until, core.rest.attempt) == (46.0, 5)
        core.peer_closed(7.0, "recovered")
        core.peer_closed(8.0, "recovered")
        assert (core.state, core.transitions) == (State.CLOSED, 3)

    def test_successes_that_came_before_a_peer_opened_are_in_time(self) -> None:
        core = Core(Config(), 0.0)
        core.era.samples.append(0.1)
        core.peer_opened(1.0, 30.0, 1, "open")
        core.advance(2.0)
        assert (core.tally.outcomes()[Outcome.SUCCESS], core.tally.late) == (1, 0)

    def test_a_peer_that_says_the_same_again_changes_nothing(self) -> None:
        core = Core(Config(), 0.0)
        core.peer_opened(5.0, 30.0, 1, "open")
        core.peer_opened(6.0, 29.0, 1, "open")
        assert [change.wait for change in core.history] == [30.0]

    def test_an_opening_that_nobody_has_decided_is_told_before_a_peer_is_followed(self) -> None:
        core = Core(Config(failure_threshold=1), 0.0)
        fail(core, 2.0)
        core.peer_opened(2.5, 30.0, 1, "open")
        assert [(change.number, change.wait) for change in core.history] == [(1, 1.0), (2, 30.0)]

    def test_a_lease_that_ran_out_counts_before_a_peer_or_an_operator_is_heard(self, core: Core) -> None:
        admitted(core, 10.0)
        core.peer_closed(15.0, "closed")
        assert [change.cause for change in core.history[-2:]] == [Cause.EXPIRED, Cause.PEER_CLOSED]
        core = half_open(Config(failure_threshold=1, probe_timeout=4))
        admitted(core, 10.0)
        core.set_mode(15.0, Mode.SHADOW)
        assert (core.state, core.since) == (State.OPEN, 14.0)

    def test_what_an_operator_holds_no_peer_moves(self) -> None:
        core = Core(Config(), 0.0)
        core.force_open(0.0, "held")
        core.peer_opened(1.0, 30.0, 1, "open")
        core.peer_closed(2.0, "closed")
        assert (core.state, core.transitions) == (State.OPEN, 1)
