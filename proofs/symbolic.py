"""Runs ordinary Python on z3 integers, taking every path that its comparisons allow.

`explore` calls a program again and again; whenever it asks whether a comparison of symbols is true and both answers are
possible, one run takes the one and a later run the other. What comes back is, for each path, the condition under which
it is taken and what the program returned: so a theorem about the results is a theorem about the program itself.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Generic, NamedTuple, TypeAlias, TypeVar

import z3

T = TypeVar("T")
# z3 publishes no types, so for mypy these are anything; they say what is meant.
Term: TypeAlias = z3.ArithRef
Claim: TypeAlias = z3.BoolRef


class Path(NamedTuple, Generic[T]):
    """The condition under which a path is taken, and its result."""

    condition: Claim
    result: T


class _Run:
    """One execution: the answers fixed in advance, and those found on the way."""

    def __init__(self, assumptions: Claim, answers: list[bool]) -> None:
        self.answers = answers
        self.position = 0
        self.alternatives: list[list[bool]] = []
        self.conditions = [assumptions]
        self._solver = z3.Solver()
        self._solver.add(assumptions)

    def decide(self, condition: Claim) -> bool:
        if self.position == len(self.answers):
            possible = [answer for answer in (True, False) if self._possible(condition, answer)]
            if len(possible) == 2:
                self.alternatives.append([*self.answers, False])
            self.answers.append(possible[0])
        answer = self.answers[self.position]
        self.position += 1
        fact = condition if answer else z3.Not(condition)
        self.conditions.append(fact)
        self._solver.add(fact)
        return answer

    def _possible(self, condition: Claim, answer: bool) -> bool:
        verdict = self._solver.check(condition if answer else z3.Not(condition))
        if verdict == z3.unknown:
            raise RuntimeError(f"z3 does not know whether {condition} can be {answer}")
        return bool(verdict == z3.sat)


_current: ContextVar[_Run] = ContextVar("_current")


class Condition:
    """A comparison of symbols; asking for its truth chooses a path."""

    def __init__(self, term: Claim) -> None:
        self.term = term

    def __bool__(self) -> bool:
        return _current.get().decide(self.term)


def term_of(value: object) -> Term:
    """Return the z3 term of a symbol or of a plain integer."""
    return value.term if type(value) is Symbol else z3.IntVal(value)


class Symbol:
    """An integer that z3 knows and Python takes for an int."""

    __hash__ = None  # type: ignore[assignment]  # an unknown number has no hash; keys are concrete

    def __init__(self, term: Term) -> None:
        self.term = term

    @property  # type: ignore[misc]  # the program under test asks whether a stamp is an int
    def __class__(self) -> type:
        return int

    def __add__(self, other: object) -> "Symbol":
        return Symbol(self.term + term_of(other))

    __radd__ = __add__

    def __sub__(self, other: object) -> "Symbol":
        return Symbol(self.term - term_of(other))

    def __rsub__(self, other: object) -> "Symbol":
        return Symbol(term_of(other) - self.term)

    def __mul__(self, other: object) -> "Symbol":
        return Symbol(self.term * term_of(other))

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> "Symbol":
        # z3 divides like Euclid, Python like a floor: the same for a divisor above zero.
        assert other > 0
        return Symbol(self.term / z3.IntVal(other))

    def __mod__(self, other: int) -> "Symbol":
        assert other > 0
        return Symbol(self.term % z3.IntVal(other))

    def __and__(self, other: int) -> "Symbol":
        assert other & other + 1 == 0, "only masks of low bits are remainders"
        return self % (other + 1)

    def __lshift__(self, other: int) -> "Symbol":
        return self * (1 << other)

    def __rshift__(self, other: int) -> "Symbol":
        return self // (1 << other)

    def __lt__(self, other: object) -> Condition:
        return Condition(self.term < term_of(other))

    def __le__(self, other: object) -> Condition:
        return Condition(self.term <= term_of(other))

    def __gt__(self, other: object) -> Condition:
        return Condition(self.term > term_of(other))

    def __ge__(self, other: object) -> Condition:
        return Condition(self.term >= term_of(other))

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]  # the answer is not known yet
        return Condition(self.term == term_of(other))

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]  # the answer is not known yet
        return Condition(self.term != term_of(other))

    def __bool__(self) -> bool:
        return _current.get().decide(self.term != 0)


def explore(program: Callable[[], T], assuming: Claim | None = None, *, most: int = 5_000) -> list[Path[T]]:
    """Return every path of `program` under the assumption. Raises RuntimeError beyond `most` paths."""
    assumptions = z3.BoolVal(True) if assuming is None else assuming
    paths: list[Path[T]] = []
    waiting: list[list[bool]] = [[]]
    while waiting:
        if len(paths) == most:
            raise RuntimeError(f"more than {most} paths")
        run = _Run(assumptions, waiting.pop())
        token = _current.set(run)
        try:
            result = program()
        finally:
            _current.reset(token)
        waiting.extend(run.alternatives)
        paths.append(Path(z3.And(*run.conditions), result))
    return paths


def evaluate(function: Callable[..., object], *arguments: object) -> Term:
    """Return what `function` computes from terms and plain integers, all its paths in one term."""
    symbols = [Symbol(value) if z3.is_expr(value) else value for value in arguments]
    paths = explore(lambda: function(*symbols))
    total = term_of(paths[-1].result)
    for path in paths[:-1]:
        total = z3.If(path.condition, term_of(path.result), total)
    return total


def holds(function: Callable[..., object], *arguments: object) -> Claim:
    """Return the condition under which `function` answers yes."""
    symbols = [Symbol(value) if z3.is_expr(value) else value for value in arguments]
    return z3.Or(*[path.condition for path in explore(lambda: bool(function(*symbols))) if path.result])
