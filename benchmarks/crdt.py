"""The set beside pycrdt, loro, crdts and a plain dict loop: every figure against its bar, on Python 3.11 and 3.13.

    make bench ARGS=crdt          or  python benchmarks/crdt.py [--quick] [--runs 1000000]

Times come from `crdt_parts/measure.py`, run by each of the two Pythons that this machine has (the other one gets an
environment of its own, .venv-bench-3.13 or -3.11), sizes from `sizes.py`, broken laws from `laws.py` beside it. All
subjects of a row run in the same process, in turns; judged is the median, over the rounds, of the ratio within a round.
Judged is the set as it is built, joined in C; the same merges in Python are shown beside it. Raw results go to
benchmarks/results/crdt.json. Exits with 1 if a law was broken; a bar that is missed is shown.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.crdt_parts.laws import violations  # noqa: E402 - a script has its own folder on the path, not the root
from benchmarks.crdt_parts.sizes import largest_delta, metadata_per_element, reconciliation  # noqa: E402 - as above

RESULTS = ROOT / "benchmarks" / "results" / "crdt.json"
VERSIONS = ("3.11", "3.13")
IN_PYTHON = "palaver, in Python"
# Path -> subject -> its figure in each round, of one Python.
Raw = dict[str, dict[str, list[float]]]


class Row(NamedTuple):
    """One figure against its bar; `bar` is None for a figure that is only shown.

    `in_python` is the same figure without the compiled loops, where they take part.
    """

    path: str
    against: str
    figure: float
    bar: float | None
    unit: str
    at_least: bool = False
    in_python: float | None = None

    @property
    def verdict(self) -> str:
        """Say whether the bar is met."""
        if self.bar is None:
            return ""
        return "met" if (self.figure >= self.bar if self.at_least else self.figure <= self.bar) else "MISSED"

    def __str__(self) -> str:
        slow = "" if self.in_python is None else f"in Python {self.in_python:.2f}{self.unit}"
        bar = "" if self.bar is None else f"{'>=' if self.at_least else '<='} {self.bar:g}{self.unit}"
        return (
            f"  {self.path:<30} {self.against:<34} {self.figure:>8.2f}{self.unit:<3} {bar:<10} {self.verdict:<7}{slow}"
        )


def ratio(row: dict[str, list[float]], one: str, other: str) -> float:
    """Return the median of the ratios within the rounds: a neighbour that comes and goes slows both."""
    return median(a / b for a, b in zip(row[one], row[other], strict=True))


def timed(raw: Raw) -> Iterator[Row]:
    """The rows that are ratios of times, and the one that is a time."""

    def slower(path: str, by: float | None, than: str, mine: str = "palaver") -> Row:
        of, row = "ours" if mine == "palaver" else mine, raw[path]
        slow = ratio(row, IN_PYTHON, than) if mine == "palaver" and IN_PYTHON in row else None
        return Row(path, f"{of} / {than}", ratio(row, mine, than), by, "x", in_python=slow)

    def faster(path: str, by: float | None, than: str, mine: str = "palaver") -> Row:
        of, row = mine.removeprefix("palaver"), raw[path]
        slow = ratio(row, than, IN_PYTHON) if mine == "palaver" and IN_PYTHON in row else None
        return Row(path, f"{than} / ours{of}", ratio(row, than, mine), by, "x", at_least=True, in_python=slow)

    merge = "merge of 100,000"
    yield slower(merge, 1.3, "one-cell dict loop")
    yield faster(merge, 8, "loro")
    yield faster(merge, 2, "pycrdt")
    yield faster(merge, None, "loro", "palaver from bytes")
    yield faster(merge, None, "pycrdt", "palaver from bytes")
    yield faster("merge of 5,000", None, "crdts")
    yield slower("merge of 1,000,000", 1.3, "dict | dict")
    yield slower("merge of 1,000,000", None, "dict | dict", "one-cell dict loop")
    for path in ("add", "remove"):
        yield faster(path, 3, "loro")
        yield faster(path, 5, "pycrdt")
        yield faster(path, None, "loro, one transaction")
        yield faster(path, None, "pycrdt, one transaction")
        yield faster(path, None, "crdts")
        yield slower(path, None, "guarded dict")
    yield slower("clock", None, "with a given stamp", "with the clock")
    yield faster("lookup", 5, "pycrdt")
    yield faster("lookup", 5, "loro")
    yield faster("lookup", None, "loro", "palaver, in")
    delta = raw["delta of 1,000"]
    small, large = sorted((count for count in delta if count.isdigit()), key=int)
    slow = median(delta[f"{large}, in Python"])
    yield Row(f"delta of 1,000 into {int(large):,}", "ours", median(delta[large]), 1, "ms", in_python=slow)
    yield Row(
        f"delta of 1,000 into {int(large):,}", f"into it / into {int(small):,}", ratio(delta, large, small), None, "x"
    )


def counted(quick: bool, runs: int) -> Iterator[Row]:
    """The rows that are sizes, and the broken laws."""
    yield Row("wire", "metadata per element", metadata_per_element(), 3, "B")
    yield Row("wire", "largest delta of one element", largest_delta(), 32, "B")
    count = 100_000 if quick else 1_000_000
    found = reconciliation(count, count // 1000)
    yield Row(f"two sets of {count:,}", "sent until equal / full state", 100 * found["sent"] / found["state"], 25, "%")
    yield Row("violations of laws", f"in {runs:,} runs", sum(violations(runs, 0, os.cpu_count() or 1).values()), 0, "")


def interpreters() -> Iterator[tuple[str, Path]]:
    """Yield version and path of the Pythons to measure with: this one, and the other one if the machine has it."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    yield running, Path(sys.executable)
    for version in VERSIONS:
        if version != running and (found := _find(version)) is not None:
            yield version, _environment(version, found)


def _find(version: str) -> Path | None:
    pyenv = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*/bin/python"))
    on_path = shutil.which(f"python{version}")
    candidates = [*reversed(pyenv), *([Path(on_path)] if on_path else [])]
    for candidate in candidates:
        # pyenv puts shims on the path that exist for versions that do not run.
        asked = subprocess.run([candidate, "-V"], capture_output=True, text=True, check=False)
        if asked.returncode == 0 and asked.stdout.startswith(f"Python {version}."):
            return candidate
    return None


def _environment(version: str, python: Path) -> Path:
    home, lock = ROOT / f".venv-bench-{version}", ROOT / "requirements" / "bench.lock"
    ready = home / ".ready"
    if not ready.exists() or ready.stat().st_mtime < lock.stat().st_mtime:
        print(f"Installing the peers into {home.name} ...", flush=True)
        subprocess.run([python, "-m", "venv", home], check=True)
        quiet: list[str | Path] = ["--quiet", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", lock]
        subprocess.run([home / "bin" / "pip", "install", *quiet], check=True)
        ready.touch()
    return home / "bin" / "python"


def measure(python: Path, quick: bool) -> dict[str, Any]:
    """Run `crdt_measure.py` under another Python; return what it prints."""
    command: list[str | Path] = [python, ROOT / "benchmarks" / "crdt_parts" / "measure.py"]
    if quick:
        command.append("--quick")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def show(title: str, rows: list[Row]) -> list[dict[str, object]]:
    """Print rows; return them for the results."""
    print(f"{title}:")
    for row in rows:
        print(row)
    print(flush=True)
    return [{**row._asdict(), "figure": round(row.figure, 4), "verdict": row.verdict} for row in rows]


def main() -> int:
    """Measure, print the table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, a tenth of the large sizes")
    parser.add_argument("--runs", type=int, default=1_000_000, help="histories to search for a broken law")
    options = parser.parse_args()
    results: dict[str, Any] = {"when": f"{datetime.now(UTC):%Y-%m-%d %H:%M}", "cores": os.cpu_count()}  # noqa: TID251 - dates the results
    for _, python in interpreters():
        measured = measure(python, options.quick)
        if not measured["compiled"]:
            print("Not compiled here, so sets are joined in Python and some bars are out of reach.")
        rounded = {
            path: {name: [round(figure, 3) for figure in all_] for name, all_ in row.items()}
            for path, row in measured["raw"].items()
        }
        rows = show(f"Python {measured['python']}", list(timed(measured["raw"])))
        results[measured["python"]] = {"rows": rows, "raw": rounded}
    last = list(counted(options.quick, options.runs))
    results["sizes and laws"] = show("Sizes and laws", last)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 1 if last[-1].figure else 0


if __name__ == "__main__":
    sys.exit(main())
