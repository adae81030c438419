"""The faults of the naive lock, each as a scenario in which the explorer finds it."""

from dataclasses import dataclass

from palaver.lock.testing.adapters import KEY, TTL_SECONDS, Ours, naive
from palaver.lock.testing.explorer import Exploration, MakeLock, Rule, Scenario, explore
from palaver.lock.testing.naive import HalfMendedLock


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, the lock that has it, and what ours does instead."""

    scenario: Scenario
    broken: MakeLock
    cure: str


def _scenario(name: str, rule: Rule, **options: int) -> Scenario:
    decode = bool(options.pop("decode_responses", True))
    shared = bool(options.pop("shared", False))
    return Scenario(name, rule, KEY, TTL_SECONDS, decode_responses=decode, shared=shared, **options)  # type: ignore[arg-type]  # rounds is not passed here


FAULTS = (
    Fault(
        _scenario("a crash between SETNX and EXPIRE", Rule.ALWAYS_ENDS, crashes=1),
        naive(),
        "one SET with PX inside one script: the lock never exists without an end",
    ),
    Fault(
        _scenario("GET, then DELETE", Rule.OWN_LOCK_ONLY, passes=1),
        naive(),
        "compare and delete are one script",
    ),
    Fault(
        _scenario("str against bytes", Rule.RELEASE_WORKS, decode_responses=False),
        naive(),
        "the server compares; the client's decoding does not matter",
    ),
    Fault(
        _scenario("one token for all acquisitions of an object", Rule.OWN_LOCK_ONLY, passes=1, shared=True),
        naive(HalfMendedLock),
        "every acquisition is a lease with a token of its own, and only a lease can be released",
    ),
    Fault(
        _scenario("an endless wait", Rule.ATTEMPT_ENDS),
        naive(waits=True),
        "acquire takes a timeout, try_acquire never waits, and every hold ends by itself",
    ),
    Fault(
        _scenario("work that outlives the lease", Rule.ONE_HOLDER, passes=1),
        naive(HalfMendedLock),
        "the lease knows its deadline and says that it is lost; the fence stops what is written anyway",
    ),
)


def show(fault: Fault, *, host: str, port: int) -> tuple[Exploration, Exploration]:
    """What the explorer finds in the naive lock, and in ours under the same scenario."""
    return (
        explore(fault.broken, fault.scenario, host=host, port=port),
        explore(Ours, fault.scenario, host=host, port=port),
    )
