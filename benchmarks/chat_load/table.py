"""The table of docs/benchmarks.md from what the last whole run kept: `python benchmarks/chat_load/table.py`.

Reads results/chat.json (or the file that is named) and rows.toml; prints Markdown and nothing else.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).resolve().parent
Runs = list[dict[str, Any]]


def _told(figure: str, value: float) -> str:
    return f"{value:,.0f}" if figure.endswith("_per_second") else f"{value:,.1f}"


def _median(figure: str, runs: Runs) -> float:
    return statistics.median(float(run[figure]) for run in runs)


def _per_cpu(figure: str, runs: Runs) -> float:
    rates = [float(run[figure]) * float(run["seconds"]) / float(run["server_seconds"]) for run in runs]
    return statistics.median(rates)


def _ratios(row: dict[str, Any], runs: dict[str, Runs]) -> list[str]:
    told = []
    for bar in row["bars"]:
        figure, peer = bar.get("figure", row["figure"]), bar.get("peer")
        ratio = _median(figure, runs[bar["ours"]]) / (_median(figure, runs[peer]) if peer else 1.0)
        met = ratio <= bar["factor"] if bar.get("at_most") else ratio >= bar["factor"]
        shown = f"{ratio:.2f} times {peer}" if peer else f"{_told(figure, ratio)}{' ms' if figure == 'p99_ms' else ''}"
        if peer and figure.endswith("_per_second"):
            shown += f" ({_per_cpu(figure, runs[bar['ours']]) / _per_cpu(figure, runs[peer]):.2f} by CPU time)"
        side = "at most" if bar.get("at_most") else "at least"
        told.append(f"{'met' if met else '**missed**'}: {shown}, bar {side} {bar['factor']:,g}")
    return told


def main() -> None:
    """Print the table."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "results" / "chat.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in msgspec.toml.decode((HERE / "rows.toml").read_bytes())["row"]}
    print("| row | server | median [min .. max] | in a second of the server's CPU time |\n| --- | --- | --- | --- |")
    for name, runs in kept["rows"].items():
        figure = rows[name]["figure"]
        for server, measured in runs.items():
            low, high = (_told(figure, pick(float(run[figure]) for run in measured)) for pick in (min, max))
            rate = _told(figure, _per_cpu(figure, measured)) if figure.endswith("_per_second") else ""
            print(f"| {name} | {server} | {_told(figure, _median(figure, measured))} [{low} .. {high}] | {rate} |")
    print("\n| row | bars |\n| --- | --- |")
    for name, runs in kept["rows"].items():
        print(f"| {name} | {'; '.join(_ratios(rows[name], runs))} |")


if __name__ == "__main__":
    main()
