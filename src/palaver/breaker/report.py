"""What a circuit says about itself: the snapshot for programs, `explain` for people. Reads the core, and moves
nothing."""

from palaver.breaker.core import Core
from palaver.breaker.states import CAUSES, Mode, State
from palaver.breaker.tally import Latency, Snapshot


def snapshot(core: Core, name: str | None, now: float) -> Snapshot:
    """Copy every number at `now`."""
    tally, window = core.tally, core.era.window
    window.look(now)
    time_in = dict(tally.time_in)
    time_in[core.state] += now - core.since
    probes = core.round.in_flight if core.round is not None else 0
    return Snapshot(
        name=name,
        at=now,
        state=core.seen_state(now),
        mode=core.mode,
        since=core.since,
        opens=core.opens,
        attempt=core.level(now),
        wait=core.rest.wait,
        retry_after=core.retry_after(now),
        streak=core.streak,
        calls=window.calls,
        failed=window.failures,
        slow=window.slow,
        in_flight=probes + len(core.watch),
        outcomes=tally.outcomes(),
        rejections=tally.rejections(),
        slow_calls=tally.slow,
        hung_calls=tally.hung,
        late_results=tally.late,
        shadowed=tally.shadowed,
        unobserved=tally.unobserved,
        latency=Latency(tuple(tally.counts), tally.seconds),
        failure_seconds=tally.failure_seconds,
        last_success_at=core.last_success_at,
        last_failure=tally.last_failure,
        time_in=time_in,
    )


def explain(core: Core, name: str | None, now: float) -> str:
    """Say in a few lines where the circuit stands, why, and what would move it."""
    state = core.seen_state(now)
    lines = [f"Circuit {name or '(unnamed)'} is {_word(state)} for {now - core.since:.3g} s."]
    if core.mode is Mode.SHADOW:
        lines.append("Shadow mode: it counts and changes state, but rejects nobody.")
    elif core.mode is Mode.DISABLED:
        lines.append("Disabled: every call is admitted, and none is observed.")
    if core.history:
        last = core.history[-1]
        lines.append(
            f"Last change: {_word(last.before)} to {_word(last.after)}, because {CAUSES[last.cause]}: {last.why}."
        )
    lines.append(_outlook(core, state, now))
    if (failure := core.tally.last_failure) is not None:
        lines.append(f"Last failure, {now - failure.at:.3g} s ago: {failure.kind}: {failure.message}.")
    if core.tally.late:
        lines.append(f"Late results of earlier states or rounds, not counted otherwise: {core.tally.late}.")
    return "\n".join(lines)


def _outlook(core: Core, state: State, now: float) -> str:
    """What would move the circuit from here."""
    if core.held:
        return "It is held open until it is reset or released."
    if state is State.CLOSED:
        ramp = (
            f"It admits a growing share of the calls for {core.ramp.until - now:.3g} s more. "
            if now < core.ramp.until
            else ""
        )
        core.era.window.look(now)
        return f"{ramp}Evidence: {core.rule.standing(core.streak, core.era.window.of)}."
    if state is State.OPEN:
        return f"Opening number {core.rest.attempt} since it was stable; probes begin in {core.rest.until - now:.3g} s."
    if core.round is None:
        return "The wait is over: the next call is a probe."
    return f"Probes under way: {core.round.in_flight}; succeeded: {core.round.successes} of {core.config.close_after}."


def _word(state: State) -> str:
    return state.value.replace("_", "-")
