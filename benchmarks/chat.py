"""The chat server beside its peers: `make bench ARGS=chat`.

One load generator in C++ (chat_load/generator.cpp) on one core, one server on the other, a fresh server for each run,
servers interleaved within each round. The generator's own share of its core is in every raw result: where it is near
1.0, the figure is a floor of what the server can do. Ours runs whole: history, `seq`, acks, every limit checked (set
too high to be met), validation on.

Prints medians, spreads and ratios; keeps everything raw in results/chat-*.json.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = HERE / "chat_load" / "peers"
SERVER_CORE, GENERATOR_CORE = "0", "1"
Result = dict[str, Any]

_LIMITS_RAISED = (
    "--messages-per-second=100000",
    "--room-messages-per-second=1000000",
    "--frames-per-second=1000000",
    "--ip-connects-per-second=1000000",
    "--ip-frames-per-second=1000000",
)


@dataclass(frozen=True)
class Server:
    """One program that relays rooms: how to start it on a port, and how to speak to it."""

    name: str
    command: tuple[str, ...]
    dialect: str


def _palaver(store: str, name: str) -> Server:
    command = (str(Path(sys.executable).with_name("palaver")), "serve", "--port={port}", "--data={data}")
    return Server(name, (*command, f"--store={store}", "--log-level=error", *_LIMITS_RAISED), "palaver")


SERVERS: Mapping[str, Server] = {
    server.name: server
    for server in (
        _palaver("sqlite", "palaver"),
        _palaver("memory", "palaver-memory"),
        Server("ws", ("node", str(PEERS / "ws.js"), "{port}"), "relay"),
        Server("ws-tuned", ("node", str(PEERS / "ws_tuned.js"), "{port}"), "relay"),
        Server("socket.io", ("node", str(PEERS / "socketio.js"), "{port}"), "socketio"),
        Server("websockets", (sys.executable, str(PEERS / "websockets_broadcast.py"), "{port}"), "relay"),
        Server("python-socketio", (sys.executable, str(PEERS / "python_socketio.py"), "{port}"), "socketio"),
    )
}


@dataclass(frozen=True)
class Bar:
    """What ours must reach: `ours` at least (or at most) `factor` times `peer`, or a plain number where peer is ""."""

    ours: str
    peer: str
    factor: float
    at_most: bool = False


@dataclass(frozen=True)
class Workload:
    """One load, the servers under it, the figure that counts, and the bars."""

    name: str
    text: str
    arguments: tuple[str, ...]
    servers: tuple[str, ...]
    figure: str
    bars: tuple[Bar, ...]


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        "room",
        "one room of 1,000, 16 messages in flight",
        ("--mode=closed", "--connections=1000", "--rooms=1", "--publishers=8", "--in-flight=16"),
        ("palaver", "ws", "ws-tuned", "socket.io", "websockets", "python-socketio"),
        "deliveries_per_second",
        (
            Bar("palaver", "ws", 15),
            Bar("palaver", "ws-tuned", 1.2),
            Bar("palaver", "websockets", 5),
            Bar("palaver", "python-socketio", 30),
        ),
    ),
    Workload(
        "single",
        "one room of 1,000, one message in flight",
        ("--mode=closed", "--connections=1000", "--rooms=1", "--publishers=8", "--in-flight=1"),
        ("palaver-memory", "palaver", "ws"),
        "deliveries_per_second",
        (Bar("palaver-memory", "ws", 1.2),),
    ),
    Workload(
        "rooms",
        "100 rooms of 10, every member sends",
        ("--mode=closed", "--connections=1000", "--rooms=100", "--publishers=1000", "--in-flight=1000"),
        ("palaver", "palaver-memory", "ws", "ws-tuned"),
        "deliveries_per_second",
        (Bar("palaver", "ws", 4), Bar("palaver", "ws-tuned", 1.0)),
    ),
    Workload(
        "latency",
        "p99 of delivery, one room of 1,000, 50,000 deliveries/s",
        ("--mode=open", "--connections=1000", "--rooms=1", "--publishers=8", "--rate=50"),
        ("palaver", "ws"),
        "p99_ms",
        (Bar("palaver", "ws", 1.0, at_most=True),),
    ),
    Workload(
        "memory",
        "KB per idle, joined connection, 10,000 of them in 100 rooms, above an empty server",
        ("--mode=idle", "--connections=10000", "--rooms=100"),
        ("palaver", "ws"),
        "kb_per_connection",
        (Bar("palaver", "", 8, at_most=True),),
    ),
    Workload(
        "connects",
        "connects with auth, join and replay of 100 messages",
        ("--mode=connect", "--connections=5000", "--rooms=50"),
        ("palaver",),
        "connects_per_second",
        (Bar("palaver", "", 3000),),
    ),
    Workload(
        "durable",
        "messages stored and acknowledged, 200 senders in 50 rooms, 2 in flight each",
        ("--mode=durable", "--connections=200", "--rooms=50", "--in-flight=2"),
        ("palaver",),
        "acks_per_second",
        (Bar("palaver", "", 15_000),),
    ),
    Workload(
        "durable_latency",
        "the same, p99 in ms",
        ("--mode=durable", "--connections=200", "--rooms=50", "--in-flight=2"),
        ("palaver",),
        "p99_ms",
        (Bar("palaver", "", 25, at_most=True),),
    ),
)


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


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _generate(generator: Path, server: Server, port: int, arguments: Sequence[str], seconds: float) -> list[str]:
    given = [f"--dialect={server.dialect}", f"--port={port}", f"--seconds={seconds}", *arguments]
    flat = [part for one in given for part in one.split("=", 1)]
    return ["taskset", "-c", GENERATOR_CORE, str(generator), *flat]


def measure(workload: Workload, server: Server, generator: Path, folder: Path, seconds: float) -> Result:
    """One run of one workload on one fresh server."""
    with running(server, folder) as (port, pid):
        if workload.name == "connects":  # something to replay: 100 messages in each of the rooms
            fill = ("--mode=durable", "--connections=50", "--rooms=50", "--in-flight=4", "--warmup=0")
            subprocess.run(_generate(generator, server, port, fill, 1.0), check=True, stdout=subprocess.PIPE)
        empty_kb, cpu, begin = _rss_kb(pid), _cpu_seconds(pid), time.monotonic()
        command = _generate(generator, server, port, workload.arguments, seconds)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        full_kb = empty_kb
        assert process.stdin is not None
        assert process.stdout is not None
        if workload.name == "memory":
            assert process.stdout.readline() == "ready\n"
            time.sleep(2.0)  # presence and the first sweeps are over
            full_kb = _rss_kb(pid)
            process.stdin.write("\n")
        output, _ = process.communicate(timeout=180)
        wall = time.monotonic() - begin
        result: Result = json.loads(output.splitlines()[-1])
        result["server_cpu"] = round((_cpu_seconds(pid) - cpu) / wall, 3)
        result["kb_per_connection"] = round((full_kb - empty_kb) / result["connected"], 2)
        return result


def run(names: Sequence[str], rounds: int, seconds: float) -> Result:
    """Every named workload, its servers interleaved, `rounds` times."""
    raw: Result = {}
    with tempfile.TemporaryDirectory(prefix="palaver-bench-", dir=os.environ.get("PALAVER_BENCH_DIR")) as name:
        folder = Path(name)
        generator = build_generator(folder)
        for workload in (one for one in WORKLOADS if one.name in names):
            results: dict[str, list[Result]] = {server: [] for server in workload.servers}
            for _ in range(rounds):
                for server in workload.servers:
                    results[server].append(measure(workload, SERVERS[server], generator, folder, seconds))
            raw[workload.name] = results
            report(workload, results)
    return raw


def report(workload: Workload, results: Mapping[str, Sequence[Result]]) -> None:
    """Print medians, spreads and what became of the bars."""
    print(f"\n{workload.name}: {workload.text} ({workload.figure})")
    medians = {}
    for server, runs in results.items():
        figures = sorted(float(run[workload.figure]) for run in runs)
        medians[server] = statistics.median(figures)
        cpus = ", ".join(f"{one['server_cpu']:.2f}/{one['generator_cpu']:.2f}" for one in runs)
        wrong = sum(int(one["errors"]) + int(one["closed"]) for one in runs)
        spread = f"{figures[0]:,.2f} .. {figures[-1]:,.2f}"
        print(f"  {server:16} {medians[server]:14,.2f}  [{spread}]  cpu server/generator {cpus}  errors {wrong}")
    for bar in workload.bars:
        if bar.peer:
            ratio = medians[bar.ours] / medians[bar.peer] if medians[bar.peer] else float("inf")
            told = f"{bar.ours} / {bar.peer} = {ratio:.2f}"
        else:
            ratio = medians[bar.ours]
            told = f"{bar.ours} = {ratio:,.2f}"
        met = ratio <= bar.factor if bar.at_most else ratio >= bar.factor
        print(
            f"  {'met   ' if met else 'MISSED'}  {told}, bar {'at most' if bar.at_most else 'at least'} {bar.factor:,g}"
        )


def main() -> None:
    """Run the workloads named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=[one.name for one in WORKLOADS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="measured seconds of each run")
    given = parser.parse_args()
    raw = run(given.workloads, given.rounds, given.seconds)
    kept = HERE / "results" / f"chat-{'-'.join(sorted(raw))[:60]}.json"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps({"python": sys.version.split()[0], "workloads": raw}, indent=1) + "\n", encoding="utf-8")
    print(f"\nraw results: {kept.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
