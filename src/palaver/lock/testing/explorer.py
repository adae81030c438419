"""Runs every interleaving of two actors' commands against a real server, and finds the first that breaks a rule.

A schedule is a list of choices: who does the next command, when time passes, when an actor dies. The explorer runs
one schedule after the other, depth first, each on an emptied database, until all are done or one breaks a rule.
Time is logical: letting it pass shortens every key's time to live, and nobody sleeps.

It refuses to explore a lock that waits inside an attempt: an adapter's `try_acquire` tries once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeAlias

import redis

from palaver.lock.testing.steps import Actor, SteppedRedis

MOST_SCHEDULES = 50_000
"""A scenario with more than this many is too large to be explored to its end."""


Handle: TypeAlias = Any
"""Whatever an adapter's own `try_acquire` returned."""

BEGINS = "(begins)"
"""A step of its own before an actor's first command; not shown."""

MOST_STEPS = 12
"""An attempt that takes more commands than this is taken not to end."""


class LockUnderTest(Protocol):
    """The three methods an adapter gives to any lock. One object per actor, unless the scenario shares one."""

    def try_acquire(self) -> object | None:
        """Try once, without waiting: what stands for the acquisition, or None."""

    def release(self, handle: Handle) -> None:
        """Give that acquisition back. May raise whatever the lock raises."""

    def believes(self, handle: Handle) -> bool:
        """Whether its holder has reason to believe that it still holds: False once the lock says it is lost."""


MakeLock = Callable[[redis.Redis, "LogicalClock"], LockUnderTest]
"""Makes the lock under test on a client; the clock is what the lock should use for its own, if it has one."""


class Rule(Enum):
    """What must hold in every schedule."""

    ONE_HOLDER = "two hold it at once"
    OWN_LOCK_ONLY = "a release removed another's lock"
    RELEASE_WORKS = "a release by the holder left the lock held"
    ATTEMPT_ENDS = "an attempt to acquire does not end"
    ALWAYS_ENDS = "the lock is held for ever"


@dataclass(frozen=True, slots=True)
class Scenario:
    """What two actors do, and what may befall them.

    `rounds` is how often each actor acquires and releases; `passes` how often time may pass by `ttl` seconds;
    `crashes` how many actors may die; `shared` whether both use one lock object; `rule` what is looked for.
    """

    name: str
    rule: Rule
    key: str
    ttl: float
    rounds: tuple[int, int] = (1, 1)
    passes: int = 0
    crashes: int = 0
    shared: bool = False
    decode_responses: bool = True


@dataclass(frozen=True, slots=True)
class Violation:
    """The first schedule that broke the rule."""

    rule: Rule
    schedule: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Exploration:
    """How many schedules were run, and the violation if there was one."""

    scenario: Scenario
    schedules: int
    violation: Violation | None


class LogicalClock:
    """Monotonic seconds that only pass when the explorer says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def explore(make_lock: MakeLock, scenario: Scenario, *, host: str, port: int) -> Exploration:
    """Run every schedule of `scenario` on the server's database 15, which is emptied for each.

    Raises:
        RuntimeError: if there are more than `MOST_SCHEDULES`, if an actor waits for something but Redis, or if the
            lock does not do the same when it is given the same replies.
    """
    prefix: list[int] = []
    with SteppedRedis(host=host, port=port, db=15, decode_responses=scenario.decode_responses) as client:
        # Once for nothing, so that no later schedule has a step for a script the server does not know yet.
        _Run(make_lock, scenario, client, prefix).play()
        for count in range(1, MOST_SCHEDULES + 1):
            run = _Run(make_lock, scenario, client, prefix)
            violation = run.play()
            if violation is not None:
                return Exploration(scenario, count, violation)
            following = _next_prefix(run.taken)
            if following is None:
                return Exploration(scenario, count, None)
            prefix = following
    raise RuntimeError(f"{scenario.name}: more than {MOST_SCHEDULES} schedules; make the scenario smaller")


def _next_prefix(taken: list[tuple[int, int]]) -> list[int] | None:
    """The choices that lead to the next schedule in depth-first order; None after the last."""
    for depth in range(len(taken) - 1, -1, -1):
        choice, of = taken[depth]
        if choice + 1 < of:
            return [chosen for chosen, _ in taken[:depth]] + [choice + 1]
    return None


@dataclass(frozen=True, slots=True)
class _Inside:
    """An actor is between its acquire and its release."""

    lock: LockUnderTest
    handle: object

    def believes(self) -> bool:
        return self.lock.believes(self.handle)


@dataclass
class _Run:
    """One schedule, played on an emptied database."""

    make_lock: MakeLock
    scenario: Scenario
    client: SteppedRedis
    prefix: list[int]
    clock: LogicalClock = field(default_factory=LogicalClock)
    taken: list[tuple[int, int]] = field(default_factory=list)
    schedule: list[str] = field(default_factory=list)
    inside: dict[str, "_Inside"] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    taken_values: dict[str, object] = field(default_factory=dict)
    released: str | None = None
    broken: str | None = None

    def play(self) -> Violation | None:
        self.client.flushdb()
        first = self.make_lock(self.client, self.clock)
        second = first if self.scenario.shared else self.make_lock(self.client, self.clock)
        actors = [self._actor("A", first, 0), self._actor("B", second, 1)]
        try:
            for actor in actors:
                actor.start()
            self._interleave(actors)
        finally:
            for actor in actors:
                actor.finish()
        return Violation(self.scenario.rule, tuple(self.schedule), self.broken) if self.broken else None

    def _actor(self, name: str, lock: LockUnderTest, number: int) -> Actor:
        def program(actor: Actor) -> None:
            # Or every actor would look at its clock before the first of them has done anything.
            actor.stand(BEGINS)
            for _ in range(self.scenario.rounds[number]):
                self.tried[actor.name] = 0
                handle = lock.try_acquire()
                del self.tried[actor.name]
                if handle is None:
                    return
                self.inside[actor.name] = _Inside(lock, handle)
                actor.stand("(works under the lock)")
                held = self.inside.pop(actor.name).believes()
                try:
                    lock.release(handle)
                finally:
                    self.released = actor.name if held else None

        return Actor(name, program)

    def _interleave(self, actors: list[Actor]) -> None:
        passes, crashes = self.scenario.passes, self.scenario.crashes
        while self.broken is None:
            choices: list[tuple[str, Actor | None]] = [("step", actor) for actor in actors if not actor.ended]
            if not choices:
                break
            # Time matters only while somebody has taken something, and a crash only before a further command.
            choices += [("time", None)] if passes and self.client.dbsize() else []
            choices += [("crash", actor) for actor in actors if crashes and not actor.ended]
            what, actor = choices[self._choose(len(choices))]
            if actor is None:
                passes -= 1
                self._pass_time()
            elif what == "crash":
                crashes -= 1
                self.schedule.append(f"{actor.name}  dies before {actor.standing}")
                self.inside.pop(actor.name, None)
                actor.crash()
            else:
                self._step(actor)
            self._look()
        if self.broken is None:
            self._look_at_the_end()

    def _choose(self, of: int) -> int:
        depth = len(self.taken)
        choice = self.prefix[depth] if depth < len(self.prefix) else 0
        if choice >= of:
            raise RuntimeError("the lock did not do the same again: it depends on chance, or on a clock of its own")
        self.taken.append((choice, of))
        return choice

    def _step(self, actor: Actor) -> None:
        self.released = None
        others = {name for name, hold in self.inside.items() if name != actor.name and hold.believes()}
        before = self.client.exists(self.scenario.key)
        if actor.standing != BEGINS:
            self.schedule.append(f"{actor.name}  {actor.standing}")
        if actor.name in self.tried:
            self.tried[actor.name] += 1
            if self.scenario.rule is Rule.ATTEMPT_ENDS and self.tried[actor.name] > MOST_STEPS:
                self.broken = f"{actor.name} has taken {MOST_STEPS} steps in one attempt, and nothing bounds it"
        inside_before = actor.name in self.inside
        actor.step()
        if actor.name in self.inside and not inside_before:
            self.taken_values[actor.name] = self.client.get(self.scenario.key)
        gone = before and not self.client.exists(self.scenario.key)
        if self.scenario.rule is Rule.OWN_LOCK_ONLY and others and gone:
            self.broken = f"{actor.name} removed the lock that {others.pop()} holds"
            if self.make_lock(self.client, self.clock).try_acquire() is not None:
                self.schedule.append("C  acquires")
                self.broken += ", so C got it too: two hold it"
        if self.scenario.rule is Rule.RELEASE_WORKS and self._released_in_vain():
            self.broken = f"{actor.name} released, and the lock is still held"

    def _released_in_vain(self) -> bool:
        if self.released is None:
            return False
        value = self.client.get(self.scenario.key)
        return value is not None and value == self.taken_values[self.released]

    def _pass_time(self) -> None:
        self.schedule.append(f"=  {self.scenario.ttl:g} s pass")
        self.clock.now += self.scenario.ttl
        for key in self.client.scan_iter():
            left_ms = self.client.pttl(key) - round(self.scenario.ttl * 1000)
            if left_ms > 0:
                self.client.pexpire(key, left_ms)
            elif left_ms + round(self.scenario.ttl * 1000) >= 0:
                self.client.delete(key)

    def _look(self) -> None:
        holders = [name for name, hold in self.inside.items() if hold.believes()]
        if self.scenario.rule is Rule.ONE_HOLDER and len(holders) > 1:
            self.broken = f"{' and '.join(sorted(holders))} both work under the lock"

    def _look_at_the_end(self) -> None:
        if self.scenario.rule is not Rule.ALWAYS_ENDS:
            return
        for _ in range(10):
            if not self.client.exists(self.scenario.key):
                return
            self._pass_time()
            self.schedule.pop()
        self.broken = f"after {10 * self.scenario.ttl:g} s the lock is still held, by nobody who lives"
