"""Mutants of Python sources, and whether tests notice them. Which sources and which tests is the caller's business.

A mutant is a source with one thing changed. It is judged in a copy of the tree, in a process that is forked for it. The
tests notice it if they fail, or if they come to no end; how loaded the machine is must not matter:

* Time on the processor is limited by the kernel, and time asleep is counted by looking, at intervals, whether every
  thread sleeps. Who waits for a processor, or is stopped by a signal, uses up neither.
* Tests have watchdogs of their own, by the wall clock. So a failure is not believed if this process, which only looks
  on, was held up for seconds meanwhile; the mutant is tried again.

Needs Linux: it reads `/proc`.
"""

import ast
import contextlib
import copy
import enum
import multiprocessing
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

MEMORY_BYTES = 8 << 30
LOOK_EVERY = 0.25
HELD_UP_SECONDS = 5.0
TRIES = 5
FORK = multiprocessing.get_context("fork")

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
OPPOSITE = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """One change of one source."""

    file: str
    """Name of the module, without folder and ending."""
    line: int
    where: str
    """The function, as in `__qualname__`."""
    what: str
    """The piece before and after."""
    number: int
    """1 for the first of the changes in this function that read the same."""
    source: str
    """The whole module, changed."""

    def __str__(self) -> str:
        again = f" #{self.number}" if self.number > 1 else ""
        return f"{self.file}:{self.where}: {self.what}{again}"


def mutants(path: Path) -> Iterator[Mutant]:
    """Every change of what the functions of a module do that this file knows how to make."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    seen: Counter[tuple[str, str]] = Counter()
    for where, node in list(_places(tree, "")):
        for change in _changes(node):
            before = ast.unparse(node)
            kept = copy.copy(node.__dict__)
            change(node)
            after, source = ast.unparse(node), ast.unparse(tree)
            node.__dict__.clear()
            node.__dict__.update(kept)
            if before != after:
                what = f"{_first_line(before)} -> {_first_line(after)}"
                seen[where, what] += 1
                yield Mutant(path.stem, getattr(node, "lineno", 0), where, what, seen[where, what], source)


def _places(node: ast.AST, scope: str) -> Iterator[tuple[str, ast.AST]]:
    """Every node inside a function, with the function's name; not docstrings, annotations, defaults and decorators."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{scope}.{child.name}".lstrip(".")
            for statement in child.body:
                if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                    yield name, statement
                    yield from _inside(statement, name)
            yield from _places(child, name)
        else:
            yield from _places(child, f"{scope}.{child.name}" if isinstance(child, ast.ClassDef) else scope)


def _inside(node: ast.AST, scope: str) -> Iterator[tuple[str, ast.AST]]:
    """What a statement consists of; a function within is a place of its own."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    for child in ast.iter_child_nodes(node):
        yield scope, child
        yield from _inside(child, scope)


def _changes(node: ast.AST) -> Iterator["Change"]:  # noqa: C901, PLR0912  # a table, one row for each kind of node
    """What may be done to a node, each as a function that does it."""
    match node:
        case ast.Compare(ops=ops):
            for number, op in enumerate(ops):
                if type(op) in SWAPPED:
                    yield Change("ops", [*ops[:number], SWAPPED[type(op)](), *ops[number + 1 :]])
        case ast.BinOp(op=op) if type(op) in SWAPPED:
            yield Change("op", SWAPPED[type(op)]())
        case ast.BoolOp(op=op):
            yield Change("op", SWAPPED[type(op)]())
        case ast.AugAssign(op=op) if type(op) in SWAPPED:
            yield Change("op", SWAPPED[type(op)]())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield Change("op", ast.Not(), operand=ast.UnaryOp(ast.Not(), operand))
        case ast.UnaryOp(op=ast.USub()):
            yield Change("op", ast.UAdd())
        case ast.Constant(value=bool() as value):
            yield Change("value", not value)
        case ast.Constant(value=int() | float() as value):
            yield Change("value", value + 1)
        case ast.If(test=test):
            yield Change("test", ast.UnaryOp(ast.Not(), test))
        case ast.IfExp(body=body, orelse=orelse):
            yield Change("body", orelse, orelse=body)
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield Change("value", ast.Constant(None))
        case ast.Assign(value=value) | ast.AnnAssign(value=value) if value is not None and not _is_none(value):
            yield Change("value", ast.Constant(None))
        case ast.Expr(value=ast.Call()):
            yield Change("value", ast.Constant(None))
        case ast.Call(func=ast.Name(id=name)) if name in OPPOSITE:
            yield Change("func", ast.Name(OPPOSITE[name], ast.Load()))


class Change:
    """Sets fields of a node."""

    def __init__(self, field: str, value: object, **more: object) -> None:
        self._fields = {field: value} | more

    def __call__(self, node: ast.AST) -> None:
        node.__dict__.update(self._fields)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:90]


class Limits(NamedTuple):
    """What tests may use before they are taken to be without end; several times what they need on a good source."""

    processor: int = 60
    """Seconds on the processor."""
    asleep: float = 30.0
    """Seconds in which every thread sleeps."""


USUAL = Limits()


class Ending(enum.Enum):
    """How the tests ended."""

    PASSED = "passed"
    FAILED = "failed"
    OUT_OF_TIME = "came to no end"
    UNKNOWN = "failed, but were held up each time"


def ending(run: Callable[[], int], limits: Limits = USUAL, clock: Callable[[], float] = time.monotonic) -> Ending:
    """Run tests that return 0 if they pass, each time in a process of their own, until their end can be believed."""
    for _ in range(TRIES):
        how, held_up = _ending_once(run, limits, clock)
        if how is not Ending.FAILED or not held_up:
            return how
    return Ending.UNKNOWN


def _ending_once(run: Callable[[], int], limits: Limits, clock: Callable[[], float]) -> tuple[Ending, bool]:
    """How it ended, and whether this process was held up meanwhile."""
    # Forked, so that what the tests import from elsewhere is loaded once and not a thousand times.
    process = FORK.Process(target=_limited, args=(run, limits.processor))
    endless, asleep, held_up, before = True, 0.0, False, clock()  # before the start: it may fail before we look again
    process.start()
    assert process.pid is not None, "it has been started"
    while endless and asleep < limits.asleep:
        process.join(LOOK_EVERY)
        asleep += LOOK_EVERY if sleeps(process.pid) else 0.0
        endless = process.is_alive()
        now = clock()  # after looking, so that nothing that held it up before its end is missed
        held_up, before = held_up or now - before > HELD_UP_SECONDS, now
    process.kill()
    process.join()
    if endless or process.exitcode == -signal.SIGXCPU:
        return Ending.OUT_OF_TIME, held_up
    return (Ending.FAILED if process.exitcode else Ending.PASSED), held_up


def sleeps(pid: int) -> bool:
    """Whether every thread of a process waits for something other than a processor. A stopped one does not."""
    try:
        stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):
        return False  # one has just ended, so there was progress
    return bool(stats) and all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)


def _limited(run: Callable[[], int], processor: int) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError):  # if less is allowed anyway
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os._exit(run())
