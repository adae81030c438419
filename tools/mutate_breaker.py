"""Mutation testing of the breaker's core: change one thing at a time in a copy of the sources, and run the tests.

    python -m tools.mutate_breaker                  # every mutant of every module below: about half an hour
    python -m tools.mutate_breaker rest round       # of these modules
    python -m tools.mutate_breaker --sample 200     # so many, picked evenly

It never touches the working tree. A mutant that no test notices *survives*; the ones that may, because they change
nothing that can be seen, are listed with the reason in `EQUIVALENT`. It returns 1 if any other survives, or if a test
notices one that is listed there.
"""

import argparse
import compileall
import gc
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import entry_points
from importlib.util import cache_from_source
from pathlib import Path

# Loaded before the forks, because the tests load them.
import hypothesis
import opentelemetry.sdk.metrics.export
import prometheus_client
import pytest
import redis

from tools.mutation import FORK, Ending, Mutant, ending, mutants

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("src/palaver/breaker")
MODULES = ("backoff", "circuit", "classify", "core", "engine", "permit", "ramp", "rest", "round", "rules", "tally",
           "tickets", "watch", "window")  # fmt: skip
UNITS, MODEL = "tests/unit/breaker", "tests/property/breaker"
SLOWEST = ("test_backoff.py", "test_rules.py", "test_concurrency.py", "test_shapes.py")
PRELOADED = (opentelemetry, prometheus_client, redis)

_TRUTH = "only its truth is looked at, and None is as false as False"
# What may change unnoticed, and why.
EQUIVALENT: dict[str, str] = {
    "core:Core.settle: counted = False -> counted = None": _TRUTH,
    "core:Core.settle: False -> True": "it is read for watched calls only, and they set it",
    "circuit:Circuit._is_stable: 0.0 -> 1.0": "a circuit without a wait has no back-off level to forget",
    "ramp:Ramp.admits: return False -> return None": _TRUTH,
    "round:Round.end: return False -> return None": _TRUTH,
    "engine:Engine.__init__: self._delivering = False -> self._delivering = None": _TRUTH,
    "engine:Engine.aftermath: self._delivering = False -> self._delivering = None": _TRUTH,
    "engine:Engine._next_news: self._delivering = False -> self._delivering = None": _TRUTH,
    "engine:Engine.unlock: self._delivering = False -> self._delivering = None": _TRUTH,
    "engine:Engine.admit: 0 -> 1": "the long way rejects too",
    "tickets:InFlight.__init__: self.counted = False -> self.counted = None": _TRUTH,
    "classify:Classifier.__init__: self._all_exceptions_fail = failures == (Exception,) and ignore == () and "
    "(unreachable ==  -> self._all_exceptions_fail = None": "the long way gives the same outcome",
    "tally:Latency.quantile: True -> False": "the two are of one length",
    "classify:_matches: return False -> return None": _TRUTH,
    "rules:Rule.needs_slow: return False -> return None": _TRUTH,
    "window:TimeWindow.__init__: 0 -> 1": "the slice before the first call is empty, so its number stands for nothing",
    "window:NoWindow.of: return self -> return None": "no rule asks",
}


def mutants_of(module: str) -> Iterator[Mutant]:
    """Every mutant of a module of the breaker."""
    return mutants(ROOT / PACKAGE / f"{module}.py")


def run_tests(tree: Path) -> int:
    """Run the breaker's tests in a copy of the tree, and return what pytest returns."""
    os.chdir(tree)
    sys.path[:0] = [str(tree / "src"), str(tree)]
    sys.dont_write_bytecode = True
    # The same examples each time, whatever failed before; that one fails is enough, which is the simplest does not
    # matter.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutation", deadline=None, derandomize=True, database=None, phases=phases,
                                         suppress_health_check=[hypothesis.HealthCheck.too_slow])  # fmt: skip
    # No time limits but those of `tools.mutation`. Nobody reads what failed, so assertions need not explain themselves.
    options = ["-q", "-x", "--no-header", "-p", "no:cacheprovider", "--timeout=0", "--hypothesis-profile=mutation",
               "--assert=plain"]  # fmt: skip
    # What takes longest comes last: most mutants never get there.
    units = sorted((tree / UNITS).glob("test_*.py"), key=lambda path: (path.name in SLOWEST, path.name))
    return int(pytest.main([*options, *map(str, units), str(tree / MODEL)]))


def judge(found: list[Mutant]) -> list[tuple[Mutant, Ending]]:
    """Run the tests against each of these, in one copy of the tree."""
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    gc.freeze()  # what is loaded stays, so no child need look through it
    with tempfile.TemporaryDirectory(prefix="palaver-mutants-") as scratch:
        tree = Path(scratch)
        for part in ("src/palaver", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        compileall.compile_dir(tree, quiet=2)  # what does not change need not be compiled for each mutant
        if (how := ending(lambda: run_tests(tree))) is not Ending.PASSED:
            raise RuntimeError(f"without any change the tests {how.value}: mutation says nothing")
        return [(mutant, _judge_one(mutant, tree)) for mutant in found]


def _judge_one(mutant: Mutant, tree: Path) -> Ending:
    target = tree / PACKAGE / f"{mutant.file}.py"
    original = target.read_text(encoding="utf-8")
    Path(cache_from_source(str(target))).unlink(missing_ok=True)  # for good: nobody writes it again
    target.write_text(mutant.source, encoding="utf-8")
    how = ending(lambda: run_tests(tree))
    target.write_text(original, encoding="utf-8")
    if (how is Ending.PASSED) is not (str(mutant) in EQUIVALENT):
        said = "survived" if how is Ending.PASSED else "noticed, although explained"
        sys.stdout.write(f"{said}: {mutant.file}.py:{mutant.line} {mutant}\n")
        sys.stdout.flush()
    return how


def report(judged: list[tuple[Mutant, Ending]]) -> int:
    """Say for each module how many were noticed and how many are explained; return how many are neither, or both."""
    wrong = 0
    for module in sorted({mutant.file for mutant, _ in judged}):
        of_it = [(str(mutant) in EQUIVALENT, how) for mutant, how in judged if mutant.file == module]
        counts = Counter(of_it)
        endless = counts[False, Ending.OUT_OF_TIME]
        noticed = counts[False, Ending.FAILED] + endless
        unexplained = counts[False, Ending.PASSED]
        refuted = counts[True, Ending.FAILED] + counts[True, Ending.OUT_OF_TIME]
        sys.stdout.write(
            f"{module}: {len(of_it)} mutants, {noticed} noticed ({endless} by no end), {counts[True, Ending.PASSED]} "
            f"explained, {unexplained} survived unexplained, {refuted} wrongly explained\n"
        )
        wrong += unexplained + refuted
    sys.stdout.write(f"{len(judged)} mutants, {wrong} unexplained or wrongly explained\n")
    return wrong


def main() -> int:
    """Run them all on two copies, and say which survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=MODULES)
    parser.add_argument("--sample", type=int, help="run at most so many, picked evenly")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    found = [mutant for module in args.modules for mutant in mutants_of(module)]
    if args.sample:
        found = found[:: -(-len(found) // args.sample)]
    parts = [found[number :: args.jobs] for number in range(args.jobs)]
    with ProcessPoolExecutor(args.jobs, FORK) as pool:
        judged = [one for part in pool.map(judge, parts) for one in part]
    return 1 if report(judged) else 0


if __name__ == "__main__":
    sys.exit(main())
