"""Mutation testing of the breaker's core: change one thing at a time in a copy of the sources, and run the tests.

    python -m tools.mutate_breaker                  # every mutant of every module below
    python -m tools.mutate_breaker rest round       # of these modules
    python -m tools.mutate_breaker --sample 200     # so many, picked evenly

It never touches the working tree. A mutant that no test notices *survives*; the ones that may, because they change
nothing that can be seen, are listed with the reason in `EQUIVALENT`. Any other survivor makes it return 1.
"""

import argparse
import ast
import copy
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

# Loaded before the forks, because the tests load them.
import hypothesis
import opentelemetry.sdk.metrics.export
import prometheus_client
import pytest
import redis

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "palaver" / "breaker"
MODULES = ("backoff", "circuit", "classify", "core", "engine", "permit", "ramp", "rest", "round", "rules", "tally",
           "tickets", "watch", "window")  # fmt: skip
TESTS = ("tests/unit/breaker", "tests/property/breaker")
TIMEOUT_SECONDS = 90
FORK = multiprocessing.get_context("fork")
PRELOADED = (hypothesis, opentelemetry, prometheus_client, redis)

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip

_TRUTH = "only its truth is looked at, and None is as false as False"
_OVERWRITTEN = "the constructor's last line sets it by the state"
# What may change unnoticed, and why.
EQUIVALENT: dict[str, str] = {
    "core:Core.settle: counted = False -> counted = None": _TRUTH,
    "core:Core.settle: False -> True": "it is read for watched calls only, and they set it",
    "circuit:Circuit._is_stable: 0.0 -> 1.0": "a circuit without a wait has no back-off level to forget",
    "circuit:Circuit.__init__: self.forced = False -> self.forced = None": _TRUTH,
    "circuit:Circuit.__init__: self.observed = False -> self.observed = None": _TRUTH,
    "circuit:Circuit.__init__: self.wanted = False -> self.wanted = None": _TRUTH,
    "circuit:Circuit.__init__: self.shut_until = -inf -> self.shut_until = None": _OVERWRITTEN,
    "rest:Rest.await_decision: asked > 0 -> asked >= 0": "who asks for no time at all lengthens no wait",
    "rest:Rest.__init__: self._claimed = True -> self._claimed = None": "nothing is pending yet",
    "rest:Rest.await_decision: self._claimed = False -> self._claimed = None": _TRUTH,
    "ramp:Ramp.__init__: self._credit = 0.0 -> self._credit = None": "`start` sets it before anybody asks",
    "ramp:Ramp.admits: return False -> return None": _TRUTH,
    "round:Round.end: return False -> return None": _TRUTH,
    "engine:Engine.__init__: self._delivering = False -> self._delivering = None": _TRUTH,
    "engine:Engine.aftermath: self._delivering = False -> self._delivering = None": _TRUTH,
    "engine:Engine._next_news: self._delivering = False -> self._delivering = None": _TRUTH,
    "engine:Engine.admit: 0 -> 1": "the long way rejects too",
    "engine:Engine.admit: core.rest.pending is not None -> core.rest.pending is None": "it has news",
    "engine:Engine.drop: 0.0 -> 1.0": "the time of a call that was cancelled is counted nowhere",
    "tickets:InFlight.__init__: self.counted = False -> self.counted = None": _TRUTH,
    "classify:Classifier.__init__: self._all_exceptions_fail = failures == (Exception,) and ignore == () and "
    "(unreachable ==  -> self._all_exceptions_fail = None": "the long way gives the same outcome",
    "tally:Latency.quantile: True -> False": "the two are of one length",
    "tally:Latency.quantile: return self.bounds[-1] -> return None": "for rounding only: the last bucket has no bound",
    "classify:_matches: return False -> return None": _TRUTH,
    "rules:Rule.needs_slow: return False -> return None": _TRUTH,
    "window:TimeWindow.__init__: self._epoch = 0 -> self._epoch = None": "the first call sets the clock of the slices",
    "window:TimeWindow.__init__: 0 -> 1": "the first call sets the clock of the slices",
    "window:NoWindow.of: return self -> return None": "no rule asks",
    "watch:Watch.overdue: return found -> return None": "without patience nothing is watched, so nobody asks",
}


class Mutant(NamedTuple):
    """One change of one module."""

    module: str
    line: int
    where: str
    what: str
    source: str

    def __str__(self) -> str:
        return f"{self.module}:{self.where}: {self.what}"


def _source(module: str) -> str:
    return (PACKAGE / f"{module}.py").read_text(encoding="utf-8")


def mutants(module: str) -> Iterator[Mutant]:
    """Every change of the module that this file knows how to make."""
    tree = ast.parse(_source(module))
    for scope, node in list(_places(tree)):
        for change in _changes(node):
            before = ast.unparse(node)
            kept = copy.copy(node.__dict__)
            change(node)
            after, source = ast.unparse(node), ast.unparse(tree)
            node.__dict__.clear()
            node.__dict__.update(kept)
            if before != after:
                what = f"{_first_line(before)} -> {_first_line(after)}"
                yield Mutant(module, getattr(node, "lineno", 0), scope, what, source)


def _places(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every node inside a function, with the function's name; not docstrings, annotations and decorators."""
    for owner in ast.walk(tree):
        for function in ast.iter_child_nodes(owner):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{owner.name}.{function.name}" if isinstance(owner, ast.ClassDef) else function.name
                for statement in function.body:
                    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                        yield from ((name, node) for node in ast.walk(statement) if _belongs(node, statement))


def _belongs(node: ast.AST, statement: ast.stmt) -> bool:
    # A nested function is a place of its own, and an error's text may say what it likes.
    return not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.Raise) and not isinstance(
        node, ast.JoinedStr | ast.FormattedValue
    )


def _changes(node: ast.AST) -> Iterator["Change"]:  # noqa: C901  # a table, one row for each kind of node
    """What may be done to a node, each as a function that does it."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in SWAPPED:
            yield Change("ops", [SWAPPED[type(op)]()])
        case ast.BinOp(op=op) if type(op) in SWAPPED:
            yield Change("op", SWAPPED[type(op)]())
        case ast.BoolOp(op=op):
            yield Change("op", SWAPPED[type(op)]())
        case ast.AugAssign(op=op) if type(op) in SWAPPED:
            yield Change("op", SWAPPED[type(op)]())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield Change("op", ast.Not(), operand=ast.UnaryOp(ast.Not(), operand))
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
        case ast.Assign(value=value) if not _is_none(value):
            yield Change("value", ast.Constant(None))
        case ast.Expr(value=ast.Call()):
            yield Change("value", ast.Constant(None))


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


def survives(mutant: Mutant, tree: Path) -> bool:
    """Whether all tests pass with this change in a copy of the sources. An endless loop counts as noticed."""
    target = tree / "src" / "palaver" / "breaker" / f"{mutant.module}.py"
    original = target.read_text(encoding="utf-8")
    target.write_text(mutant.source, encoding="utf-8")
    # Forked, so that what the tests import from elsewhere is loaded once and not a thousand times.
    process = FORK.Process(target=_run_tests, args=(tree,))
    process.start()
    process.join(TIMEOUT_SECONDS)
    hangs = process.is_alive()
    process.kill()
    process.join()
    target.write_text(original, encoding="utf-8")
    return not hangs and process.exitcode == 0


def _run_tests(tree: Path) -> None:
    os.chdir(tree)
    sys.path[:0] = [str(tree / "src"), str(tree)]
    sys.dont_write_bytecode = True
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    # Loaded before the fork, some plugins can no longer be rewritten; no test of the breaker needs it.
    options = ["-q", "-x", "--no-header", "-p", "no:cacheprovider", "--timeout=20", "--hypothesis-seed=0",
               "-W", "ignore:Module already imported"]  # fmt: skip
    # What takes longest comes last: most mutants never get there.
    order = [*sorted(map(str, (tree / TESTS[0]).glob("test_*.py"))), str(tree / TESTS[1])]
    os._exit(int(pytest.main([*options, *order])))


def survivors_of(found: list[Mutant]) -> list[Mutant]:
    """Run the tests against each of these, in one copy of the sources."""
    with tempfile.TemporaryDirectory(prefix="palaver-mutants-") as scratch:
        tree = Path(scratch)
        for part in ("src/palaver", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        if found and not survives(found[0]._replace(source=_source(found[0].module)), tree):
            raise RuntimeError("the tests fail without any change: mutation says nothing")
        left = []
        for mutant in found:
            if survives(mutant, tree):
                left.append(mutant)
                sys.stdout.write(f"survived: {mutant.module}.py:{mutant.line} {mutant}\n")
                sys.stdout.flush()
        return left


def main() -> int:
    """Run them all on two copies, and say which survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=MODULES)
    parser.add_argument("--sample", type=int, help="run at most so many, picked evenly")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    found = [mutant for module in args.modules for mutant in mutants(module)]
    if args.sample:
        found = found[:: max(1, len(found) // args.sample)]
    parts = [found[number :: args.jobs] for number in range(args.jobs)]
    with ProcessPoolExecutor(args.jobs, FORK) as pool:
        left = list(pool.map(survivors_of, parts))
    survivors = [one for part in left for one in part]
    unexplained = [one for one in survivors if str(one) not in EQUIVALENT]
    sys.stdout.write(f"{len(found)} mutants, {len(survivors)} survived, {len(unexplained)} of them unexplained\n")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
