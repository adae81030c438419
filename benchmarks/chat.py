"""The chat server beside its peers: `make bench ARGS=chat`, or `make bench ARGS="chat --quick rooms single"`.

One load generator in C++ (chat_load/generator.cpp) on one core, one server on the other, a fresh server for each run,
servers interleaved within each round. Ours runs whole: history, `seq`, acks, every limit checked (set too high to be
met), validation on; `palaver-cid` is the same server with a `cid` in every send, as its clients do; `palaver-ordinary`
has no fast path, as where nothing could be compiled.

Two figures for each run: what happened in a second, and what happened in a second of the server's CPU time. The second
one is the one to compare on a machine that others use too. Where the generator needed less CPU time than the server,
it was not the bottleneck; that ratio is printed with each row.

Prints medians, spreads, ratios and what became of the bars; keeps everything raw in results/chat.json, or in
results/chat-<rows>.json where not all rows were run.
"""

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).resolve().parent
PEERS = HERE / "chat_load" / "peers"
SERVER_CORE, GENERATOR_CORE = "0", "1"
FROZEN = 100  # members that stop reading, of 1,000
_MEASURED = ("server", "generator")
Result = dict[str, Any]

_LIMITS_RAISED = (
    "--messages-per-second=100000",
    "--room-messages-per-second=100000",
    "--frames-per-second=100000",
    "--ip-connects-per-second=100000",
    "--ip-frames-per-second=100000",
)


@dataclass(frozen=True)
class Server:
    """One program that relays rooms: how to start it on a port, and how to speak to it."""

    name: str
    command: tuple[str, ...]
    dialect: str
    arguments: tuple[str, ...] = ()  # of the generator


def _palaver(store: str, name: str, *arguments: str, more: tuple[str, ...] = ()) -> Server:
    command = (str(Path(sys.executable).with_name("palaver")), "serve", "--port={port}", "--data={data}")
    limits = (f"--store={store}", "--log-level=error", *_LIMITS_RAISED)
    return Server(name, (*command, *limits, *more), "palaver", arguments)


SERVERS: Mapping[str, Server] = {
    server.name: server
    for server in (
        _palaver("sqlite", "palaver"),
        _palaver("sqlite", "palaver-cid", "--cid=1"),
        _palaver("sqlite", "palaver-ordinary", more=("--fast-path=off",)),
        _palaver("memory", "palaver-memory"),
        _palaver("sqlite", "palaver-frozen", f"--frozen={FROZEN}"),
        _palaver("memory", "palaver-memory-frozen", f"--frozen={FROZEN}"),
        Server("ws", ("node", str(PEERS / "ws.js"), "{port}"), "relay"),
        Server("ws-tuned", ("node", str(PEERS / "ws_tuned.js"), "{port}"), "relay"),
        Server("socket.io", ("node", str(PEERS / "socketio.js"), "{port}"), "socketio"),
        Server("websockets", (sys.executable, str(PEERS / "websockets_broadcast.py"), "{port}"), "relay"),
        Server("python-socketio", (sys.executable, str(PEERS / "python_socketio.py"), "{port}"), "socketio"),
    )
}


class Bar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ours must reach: at least (or at most) `factor` times `peer`, or a plain number where there is none."""

    ours: str
    factor: float
    peer: str = ""
    figure: str = ""  # the row's own where it is empty
    at_most: bool = False


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One load, the servers under it, the figure that counts, and the bars."""

    name: str
    text: str
    arguments: tuple[str, ...]
    servers: tuple[str, ...]
    figure: str
    bars: tuple[Bar, ...]
    times: int = 1  # as many rounds as for others: where a figure scatters much


def read_rows() -> dict[str, Row]:
    """The rows of chat_load/rows.toml by name."""
    known = msgspec.toml.decode((HERE / "chat_load" / "rows.toml").read_bytes(), type=dict[str, list[Row]])
    return {row.name: row for row in known["row"]}


BARE = "bare commit"  # no server: benchmarks/log.py writes the same rows in commits of the size that ours came to


def build_generator(folder: Path) -> Path:
    """Compile the load generator."""
    program = folder / "generator"
    source = HERE / "chat_load" / "generator.cpp"
    subprocess.run(["g++", "-O3", "-march=native", "-std=c++20", "-o", str(program), str(source)], check=True)
    return program


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not listen")


@contextmanager
def running(server: Server, folder: Path) -> Iterator[tuple[int, int]]:
    """A fresh server on its core: its port and its process id."""
    port, data = _free_port(), folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    command = [part.format(port=port, data=data) for part in server.command]
    process = subprocess.Popen(["taskset", "-c", SERVER_CORE, *command], stdout=subprocess.DEVNULL)
    try:
        _wait_until_listening(process, port)
        yield port, process.pid
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _rss_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no VmRSS")


def _metrics(port: int) -> dict[str, float]:
    """What our server tells about itself, without its histograms' buckets."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("palaver_") and "{" not in line)
    return {name: float(value) for name, value in pairs}


def _mean_batch(metrics: Mapping[str, float]) -> float:
    """How many jobs one commit of our server had."""
    return metrics["palaver_log_batch_jobs_sum"] / max(1.0, metrics["palaver_log_batch_jobs_count"])


class Bench:
    """The compiled generator, a scratch directory, and how long each run takes."""

    def __init__(self, folder: Path, seconds: float, warmup: float) -> None:
        self._folder = folder
        self._generator = build_generator(folder)
        self._span = (f"--seconds={seconds}", f"--warmup={warmup}")
        self._batch = 100.0  # jobs in a commit of ours, as last seen

    def measure(self, row: Row, name: str) -> Result:
        """One run of one row on one fresh server."""
        if name == BARE:
            return self._bare()
        server = SERVERS[name]
        with running(server, self._folder) as (port, pid):
            if row.name == "connects":  # something to replay: 100 messages in each of the rooms
                fill = ("--mode=durable", "--connections=50", "--rooms=50", "--in-flight=4", "--name=f")
                subprocess.run(
                    self._command(server, port, pid, (*fill, "--warmup=0", "--seconds=1")),
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
            empty_kb = full_kb = _rss_kb(pid)
            command = self._command(server, port, pid, (*self._span, *row.arguments))
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert process.stdin is not None
            assert process.stdout is not None
            if row.name == "memory":
                assert process.stdout.readline() == "ready\n"
                time.sleep(2.0)  # presence and the first sweeps are over
                full_kb = _rss_kb(pid)
                process.stdin.write("\n")
            output, _ = process.communicate(timeout=180)
            if process.returncode:
                raise RuntimeError(f"the generator failed on {name}, row {row.name}")
            result: Result = json.loads(output.splitlines()[-1])
            result["kb_per_connection"] = round((full_kb - empty_kb) / result["connected"], 2)
            if server.dialect == "palaver":
                metrics = _metrics(port)
                result["mean_batch"] = self._batch = round(_mean_batch(metrics), 1)
                result["lagged"] = metrics["palaver_lagged_total"]
                if "frozen" in name and result["lagged"] < FROZEN:
                    raise RuntimeError("not every frozen member lags: the kernel took what --fill sent")
            return result

    def _command(self, server: Server, port: int, pid: int, arguments: Sequence[str]) -> list[str]:
        given = (f"--dialect={server.dialect}", f"--port={port}", f"--server-pid={pid}", *server.arguments, *arguments)
        flat = [part for one in given for part in one.split("=", 1)]
        return ["taskset", "-c", GENERATOR_CORE, str(self._generator), *flat]

    def _bare(self) -> Result:
        setup: Result = {"variant": "bare", "messages": 30_000, "senders": 200, "rooms": 50, "in_flight": 2}
        data = self._folder / "bare"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        setup |= {"work_us": 0.0, "batch": max(1, round(self._batch)), "directory": str(data)}
        command = [sys.executable, str(HERE / "log.py"), "--core", SERVER_CORE, "--round", json.dumps(setup)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        seconds = setup["messages"] / found["per_second"]
        cpu = found["cpu_us_per_message"] * setup["messages"] / 1e6
        return {
            "acks_per_second": found["per_second"],
            "p99_ms": found["p99_ms"],
            "mean_batch": setup["batch"],
            "seconds": seconds,
            "server_seconds": cpu,
            "generator_seconds": 0.0,
            "errors": 0,
            "closed": 0,
        }


def per_cpu_second(figure: str, run: Result) -> float | None:
    """A rate by the server's CPU time instead of by the clock; None for what is no rate."""
    if not figure.endswith("_per_second") or not run["server_seconds"]:
        return None
    return float(run[figure]) * float(run["seconds"]) / float(run["server_seconds"])


def run(rows: Sequence[Row], rounds: int, seconds: float, warmup: float) -> Result:
    """Every row, its servers interleaved, `rounds` times."""
    raw: Result = {}
    with tempfile.TemporaryDirectory(prefix="palaver-bench-", dir=os.environ.get("PALAVER_BENCH_DIR")) as name:
        bench = Bench(Path(name), seconds, warmup)
        for row in rows:
            results: dict[str, list[Result]] = {server: [] for server in row.servers}
            for _ in range(rounds * row.times):
                for server in row.servers:
                    results[server].append(bench.measure(row, server))
            raw[row.name] = results
            report(row, results)
    return raw


def _median(figure: str, runs: Sequence[Result]) -> float:
    return statistics.median(float(run[figure]) for run in runs)


def _cpu_median(figure: str, runs: Sequence[Result]) -> float | None:
    figures = [found for run in runs if (found := per_cpu_second(figure, run)) is not None]
    return statistics.median(figures) if figures else None


def report(row: Row, results: Mapping[str, Sequence[Result]]) -> None:
    """Print medians, spreads and what became of the bars."""
    print(f"\n{row.name}: {row.text} ({row.figure})")
    for server, runs in results.items():
        figures = sorted(float(run[row.figure]) for run in runs)
        told = f"{_median(row.figure, runs):12,.2f}  [{figures[0]:,.2f} .. {figures[-1]:,.2f}]"
        per_cpu = _cpu_median(row.figure, runs)
        told += "" if per_cpu is None else f"  {per_cpu:,.0f} per CPU-second"
        told += f"  p99 {_median('p99_ms', runs):.1f} ms" if row.name in {"durable", "rooms", "single"} else ""
        shares = [statistics.median(run[f"{who}_seconds"] / run["seconds"] for run in runs) for who in _MEASURED]
        wrong = sum(int(one["errors"]) + int(one["closed"]) for one in runs)
        told += f"  CPU {shares[0]:.2f}, generator {shares[1]:.2f}" if row.name != "memory" else ""
        print(f"  {server:16}{told}{f'  {wrong} ERRORS' if wrong else ''}")
    if row.name == "single":
        spent = [1e6 / _median(row.figure, results[one]) for one in ("palaver", "palaver-memory")]
        print(f"  the commit costs {spent[0] - spent[1]:.2f} ms per message")
    for bar in row.bars:
        print(f"  {judged(bar, bar.figure or row.figure, results)}")


def judged(bar: Bar, figure: str, results: Mapping[str, Sequence[Result]]) -> str:
    """What became of one bar."""
    ours = _median(figure, results[bar.ours])
    ratio = ours / _median(figure, results[bar.peer]) if bar.peer else ours
    told = f"{figure} of {bar.ours} {f'/ {bar.peer} ' if bar.peer else ''}= {ratio:,.2f}"
    if bar.peer:
        cpu, peers = _cpu_median(figure, results[bar.ours]), _cpu_median(figure, results[bar.peer])
        told += f" (per CPU-second {cpu / peers:,.2f})" if cpu and peers else ""
    met = ratio <= bar.factor if bar.at_most else ratio >= bar.factor
    return f"{'met   ' if met else 'MISSED'}  {told}, bar at {'most' if bar.at_most else 'least'} {bar.factor:,g}"


def _machine() -> Result:
    model = [line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "model name" in line]
    node = subprocess.run(["node", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return {
        "cpu": model[0].split(":", 1)[1].strip() if model else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "node": node,
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    """Run the rows named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = read_rows()
    parser.add_argument("rows", nargs="*", metavar="row", help=f"some of {', '.join(known)}; all without")
    parser.add_argument("--quick", action="store_true", help="about six minutes: short runs, so a wider spread")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="measured seconds of each run: 3, or 1 with --quick")
    given = parser.parse_args()
    seconds = given.seconds or (1.0 if given.quick else 3.0)
    if not set(given.rows) <= set(known):
        parser.error(f"the rows are {', '.join(known)}")
    rows = [known[name] for name in given.rows] or list(known.values())
    machine = _machine()
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    raw = run(rows, given.rounds, seconds, 0.5 if given.quick else 1.0)
    kept = HERE / "results" / f"chat{''.join(f'-{name}' for name in given.rows)}.json"
    kept.parent.mkdir(exist_ok=True)
    found = {"machine": machine, "rounds": given.rounds, "seconds": seconds, "rows": raw}
    kept.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"\nraw results: {kept.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
