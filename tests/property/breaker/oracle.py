"""What a circuit must do, said a second time and in the most literal way.

It shares no code with the breaker. It keeps every event of the present closed period and counts them anew for each
question; it knows one transition at a time; nothing in it is clever. Where the two differ, one of them is wrong.
"""

from dataclasses import dataclass, field
from typing import Literal

CAP = 40.0
BASE = 5.0
RETRY_CAP = 60.0

Place = Literal["closed", "open", "half_open"]


@dataclass(frozen=True)
class Settings:
    """The options that the machine varies."""

    consecutive: int | None = 3
    rate: tuple[float, int] | None = None
    """Share and least number of calls."""
    slow_rate: tuple[float, int] | None = None
    together: bool = False
    """Whether all rules must fire, not any of them."""
    seconds: float | None = None
    last: int = 8
    close_after: int = 1
    probes: int = 1
    concurrency: int = 1
    probe_timeout: float = 4.0
    stable_after: float | None = None


@dataclass
class Ticket:
    """A call under way: `period` is the closed period or the round that admitted it."""

    period: int
    kind: Literal["closed", "probe", "pass"]
    started: float
    deadline: float = 0.0


@dataclass
class Oracle:
    """The circuit."""

    settings: Settings
    now: float
    place: Place = "closed"
    mode: str = "normal"
    since: float = 0.0
    period: int = 0
    events: list[tuple[float, bool, bool]] = field(default_factory=list)
    """Of the present or the last closed period: when it ended, whether it failed, whether it was slow."""
    streak: int = 0
    level: int = 0
    wait: float | None = None
    until: float = 0.0
    asked_until: float = -1.0
    probes_out: list[Ticket] = field(default_factory=list)
    probes_won: int = 0
    forced: bool = False
    isolations: set[int] = field(default_factory=set)
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("success", "failure", "cancelled"), 0))
    rejections: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("open", "probe_limit", "forced"), 0))
    late: int = 0
    shadowed: int = 0
    unobserved: int = 0
    opens: int = 0

    def __post_init__(self) -> None:
        self.since = self.now

    # time

    def pass_time(self, until: float) -> None:
        """Go forward. The only thing that time does by itself is to end leases."""
        while self.place == "half_open" and self.probes_out:
            first = min(ticket.deadline for ticket in self.probes_out)
            if first > until:
                break
            self.now = first
            self.open_up()
        self.now = until

    # calls

    def ask(self) -> Ticket | str:
        """A ticket, or the reason of the rejection."""
        if self.mode == "disabled":
            return Ticket(-1, "pass", self.now)
        answer = self.ask_circuit()
        if isinstance(answer, str):
            if self.mode == "shadow":
                self.shadowed += 1
                return Ticket(-1, "pass", self.now)
            self.rejections[answer] += 1
        return answer

    def ask_circuit(self) -> Ticket | str:
        if self.place == "closed":
            return Ticket(self.period, "closed", self.now)
        if self.place == "open":
            if self.held():
                return "forced"
            if self.now < self.until:
                return "open"
            self.go("half_open")
        taken, most = len(self.probes_out), self.settings
        if taken >= most.concurrency or taken + self.probes_won >= most.probes:
            return "probe_limit"
        ticket = Ticket(self.period, "probe", self.now, self.now + most.probe_timeout)
        self.probes_out.append(ticket)
        return ticket

    def end(self, ticket: Ticket, outcome: str, slow_after: float, asked: float | None) -> None:
        """A call has ended."""
        if ticket.kind == "pass":
            self.unobserved += 1
            return
        stale = ticket.period != self.period or (ticket.kind == "closed" and self.place != "closed")
        if stale or (ticket.kind == "probe" and ticket not in self.probes_out):
            self.late += 1
            return
        self.outcomes[outcome] += 1
        slow = outcome != "cancelled" and self.now - ticket.started >= slow_after
        if asked is not None:
            self.asked_until = max(self.asked_until, self.now + asked)
        if ticket.kind == "probe":
            self.end_probe(ticket, outcome, slow)
        elif outcome != "cancelled":
            self.streak = self.streak + 1 if outcome == "failure" else 0
            self.events.append((self.now, outcome == "failure", slow))
            if (outcome == "failure" or slow) and self.fires():
                self.open_up()

    def end_probe(self, ticket: Ticket, outcome: str, slow: bool) -> None:
        self.probes_out.remove(ticket)
        if outcome == "failure" or (slow and self.settings.slow_rate is not None):
            self.open_up()
        elif outcome == "success":
            self.probes_won += 1
            if self.probes_won >= self.settings.close_after:
                self.go("closed")

    # rules

    def in_window(self) -> list[tuple[float, bool, bool]]:
        """The calls that the rates look at."""
        if self.settings.rate is None and self.settings.slow_rate is None:
            return []
        if self.settings.seconds is None:
            return self.events[-self.settings.last :]
        tenth = self.settings.seconds / 10
        return [event for event in self.events if event[0] // tenth > self.now // tenth - 10]

    def fires(self) -> bool:
        calls = self.in_window()
        verdicts = []
        if self.settings.consecutive is not None:
            verdicts.append(self.streak >= self.settings.consecutive)
        if self.settings.rate is not None:
            share, least = self.settings.rate
            bad = len([1 for _, failed, _ in calls if failed])
            verdicts.append(len(calls) >= least and bad >= share * len(calls))
        if self.settings.slow_rate is not None:
            share, least = self.settings.slow_rate
            bad = len([1 for _, _, slow in calls if slow])
            verdicts.append(len(calls) >= least and bad >= share * len(calls))
        return all(verdicts) if self.settings.together else any(verdicts)

    # transitions

    def held(self) -> bool:
        return self.forced or bool(self.isolations)

    def stable(self) -> bool:
        needed = self.settings.stable_after if self.settings.stable_after is not None else (self.wait or 0.0)
        return self.place == "closed" and self.now - self.since >= needed

    def go(self, place: Place) -> None:
        if place == "open" and self.place != "open":
            self.opens += 1
        self.place, self.since = place, self.now
        self.probes_out, self.probes_won = [], 0
        self.period += 1
        if place == "closed":
            self.events, self.streak = [], 0

    def open_up(self) -> None:
        self.level = 1 if self.stable() else self.level + 1
        wait = min(CAP, BASE * 2.0 ** (self.level - 1))
        asked = self.asked_until - self.now
        if asked > 0:
            wait = max(wait, min(asked, RETRY_CAP))
        self.asked_until = -1.0
        self.wait, self.until = wait, self.now + wait
        self.go("open")

    # control

    def force(self, isolation: int | None = None) -> None:
        if self.stable():
            self.level, self.wait = 0, None
        if isolation is None:
            self.forced = True
        else:
            self.isolations.add(isolation)
        self.go("open")

    def let_go(self, isolation: int) -> None:
        if isolation in self.isolations:
            self.isolations.remove(isolation)
            if not self.held():
                self.go("half_open")

    def reset(self) -> None:
        self.mode, self.forced = "normal", False
        self.isolations.clear()
        self.level, self.wait, self.asked_until = 0, None, -1.0
        self.go("closed")

    # what can be seen

    def seen(self) -> str:
        due = self.place == "open" and not self.held() and self.now >= self.until
        return "half_open" if due else self.place

    def retry_after(self) -> float | None:
        if self.place == "closed" or self.held():
            return None
        if self.place == "open":
            return max(0.0, self.until - self.now)
        taken = len(self.probes_out)
        if taken < self.settings.concurrency and taken + self.probes_won < self.settings.probes:
            return 0.0
        return min(ticket.deadline for ticket in self.probes_out) - self.now
