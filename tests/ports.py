"""Ports of the loopback for servers that must be found again on the port they had, or be given one.

The kernel takes the ports of clients, and those of servers that ask for any, from its own range. A port from there is
free only until the next connection of whoever else runs tests here, so it cannot be kept for a server that is away.
These come from below that range, and each worker of pytest-xdist has its own.
"""

import os
import random
import socket

_FIRST, _LAST = 11_000, 21_000
_BUS = 10_000
"""How far above its port a node of a cluster listens for the others; below the kernel's range too."""
_WORKERS = 16

_chance = random.SystemRandom()


def free_port() -> int:
    """A port that nobody listens on, and on whose cluster bus nobody does."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    while True:
        port = _chance.randrange(_FIRST + worker, _LAST, _WORKERS)
        if _is_free(port) and _is_free(port + _BUS):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: what waits to be forgotten is no one
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
