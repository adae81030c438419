"""Trip rules: when a closed circuit opens.

Rules are frozen values that combine with `|` and `&`. They are asked only when there is new evidence against the
dependency, after a failure or a slow call: a success never opens a circuit. `consecutive` looks at the failures since
the last success, the rates look at a window.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from palaver.breaker.checks import finite, whole
from palaver.breaker.window import Seconds, Span, Window

WindowOf = Callable[[Span], Window]


class Finding(NamedTuple):
    """The rule that fired and what it saw: for history and `explain()`."""

    rule: str
    seen: str

    def __str__(self) -> str:
        return f"{self.rule} ({self.seen})"


class Rule:
    """Base of all rules. Not for subclassing: rules are evaluated under the breaker's lock, so the set of them is
    closed."""

    __slots__ = ()

    def spans(self) -> tuple[Span, ...]:
        """The windows this rule looks at, without repeats."""
        return ()

    def needs_slow(self) -> bool:
        """Whether the rule looks at slow calls."""
        return False

    def judge(self, streak: int, window: WindowOf) -> Finding | None:
        """Return what speaks for opening the circuit, or None."""
        raise NotImplementedError

    def standing(self, streak: int, window: WindowOf) -> str:
        """Say in words how near the rule is to firing."""
        raise NotImplementedError

    def __or__(self, other: "Rule") -> "Rule":
        return AnyOf(self, _rule(other))

    def __and__(self, other: "Rule") -> "Rule":
        return AllOf(self, _rule(other))


@dataclass(frozen=True, slots=True)
class Consecutive(Rule):
    """Fires at `failures` failures in a row."""

    failures: int

    def __post_init__(self) -> None:
        whole("consecutive: failures", self.failures)

    def judge(self, streak: int, window: WindowOf) -> Finding | None:  # noqa: ARG002  # looks at no window
        """Compare the streak."""
        return Finding(str(self), f"{streak} in a row") if streak >= self.failures else None

    def standing(self, streak: int, window: WindowOf) -> str:  # noqa: ARG002  # looks at no window
        """Say how long the streak is."""
        return f"{streak} of {self.failures} failures in a row"

    def __str__(self) -> str:
        return f"{self.failures} failures in a row"


@dataclass(frozen=True, slots=True)
class Rate(Rule):
    """Fires when the share of failed (or slow) calls in a window reaches `share`, from `min_calls` calls on."""

    kind: str
    share: float
    over: Span
    min_calls: int

    def __post_init__(self) -> None:
        name = f"{self.kind}_rate"
        wanted = "a share above 0 and up to 1; 0.5 is half of the calls"
        if not 0 < finite(f"{name}: share", self.share, wanted) <= 1:
            raise ValueError(f"{name}({self.share!r}): give {wanted}")
        if not isinstance(self.over, Span):
            raise TypeError(f"{name}(over={self.over!r}): give last(calls) or seconds(length)")
        whole(f"{name}: min_calls", self.min_calls)
        if not isinstance(self.over, Seconds) and self.min_calls > self.over.size:
            raise ValueError(
                f"{name}(min_calls={self.min_calls}): {self.over} never holds that many, so the rule could not fire"
            )

    def spans(self) -> tuple[Span, ...]:
        """The one window."""
        return (self.over,)

    def needs_slow(self) -> bool:
        """Whether this is the rate of slow calls."""
        return self.kind == "slow"

    def judge(self, streak: int, window: WindowOf) -> Finding | None:  # noqa: ARG002  # looks at the window only
        """Compare the share."""
        held = window(self.over)
        calls = held.calls
        if calls < self.min_calls:
            return None
        bad = held.slow if self.kind == "slow" else held.failures
        return Finding(str(self), f"{bad} of {calls}") if bad >= self.share * calls else None

    def standing(self, streak: int, window: WindowOf) -> str:  # noqa: ARG002  # looks at the window only
        """Say what the window holds."""
        held = window(self.over)
        bad = held.slow if self.kind == "slow" else held.failures
        share = f" ({bad / held.calls:.0%})" if held.calls else ""
        limit = f"opens at {self.share:.0%} of {self.min_calls} or more"
        return f"{bad} of {held.calls} calls {self._word}{share} in {self.over}; {limit}"

    @property
    def _word(self) -> str:
        return "slow" if self.kind == "slow" else "failed"

    def __str__(self) -> str:
        return f"{self.share:.0%} {self._word} in {self.over}, from {self.min_calls} calls"


@dataclass(frozen=True, slots=True, init=False)
class _Several(Rule):
    rules: tuple[Rule, ...]

    def __init__(self, *rules: Rule) -> None:
        kind = type(self)
        flat = (part for rule in rules for part in (rule.rules if isinstance(rule, kind) else (rule,)))
        object.__setattr__(self, "rules", tuple(flat))

    def spans(self) -> tuple[Span, ...]:
        """The windows of all parts."""
        return tuple(dict.fromkeys(span for rule in self.rules for span in rule.spans()))

    def needs_slow(self) -> bool:
        """Whether any part looks at slow calls."""
        return any(rule.needs_slow() for rule in self.rules)


class AnyOf(_Several):
    """Fires as soon as one of its rules does."""

    __slots__ = ()

    def judge(self, streak: int, window: WindowOf) -> Finding | None:
        """Return the first finding."""
        for rule in self.rules:
            if finding := rule.judge(streak, window):
                return finding
        return None

    def standing(self, streak: int, window: WindowOf) -> str:
        """Say where each part stands."""
        return "; or ".join(rule.standing(streak, window) for rule in self.rules)

    def __str__(self) -> str:
        return " or ".join(f"({rule})" if isinstance(rule, AllOf) else str(rule) for rule in self.rules)


class AllOf(_Several):
    """Fires when all of its rules do."""

    __slots__ = ()

    def judge(self, streak: int, window: WindowOf) -> Finding | None:
        """Return all findings as one."""
        findings = [rule.judge(streak, window) for rule in self.rules]
        seen = [finding.seen for finding in findings if finding]
        return Finding(str(self), ", ".join(seen)) if len(seen) == len(findings) else None

    def standing(self, streak: int, window: WindowOf) -> str:
        """Say where each part stands."""
        return "; and ".join(rule.standing(streak, window) for rule in self.rules)

    def __str__(self) -> str:
        return " and ".join(f"({rule})" if isinstance(rule, AnyOf) else str(rule) for rule in self.rules)


def consecutive(failures: int) -> Rule:
    """Open at this many failures in a row, at least 1."""
    return Consecutive(failures)


def failure_rate(share: float, *, over: Span, min_calls: int = 10) -> Rule:
    """Open when this share of the calls failed: above 0, up to 1, once the window holds `min_calls` calls."""
    return Rate("failure", share, over, min_calls)


def slow_rate(share: float, *, over: Span, min_calls: int = 10) -> Rule:
    """Open when this share of the calls took `slow_after` seconds or more, once the window holds `min_calls` calls."""
    return Rate("slow", share, over, min_calls)


def _rule(value: object) -> Rule:
    if not isinstance(value, Rule):
        raise TypeError(f"{value!r} is not a trip rule: combine consecutive(), failure_rate() and slow_rate()")
    return value
