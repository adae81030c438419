"""The fast path where it is not compiled: none. What it would have done is done the ordinary way."""

import sys
from collections.abc import Sequence

from palaver.chat.effects import LogResult
from palaver.server.fanout_room import Reader


class OrdinaryPath:
    """Finds nothing plain."""

    looked_at = 0
    together = sys.maxsize

    def receive(self, _connection: object, _data: bytes) -> bool:
        """Take nothing."""
        return False

    def deliver(self, _results: Sequence[LogResult], start: int, _now: float) -> int:
        """Show nothing."""
        return start


def write_members(
    members: dict[Reader, None], ahead: dict[Reader, int], chunk: bytes
) -> tuple[Sequence[Reader], int, int]:
    """Write a chunk, and their acks behind it, to the members who get nothing else in this turn and are not `ahead`.

    Returns the other members, how many writes there were, and of how many bytes.
    """
    others: list[Reader] = []
    writes = size = 0
    for reader in members:
        if reader.out is not None or len(reader.rooms) != 1 or (ahead and reader in ahead):
            others.append(reader)
            continue
        data = chunk
        if reader.acks is not None:
            data += reader.acks
            reader.acks = None
        reader.handed = True
        reader.write(data)
        writes += 1
        size += len(data)
    return others, writes, size


def write_readers(readers: list[Reader], chunk: bytes) -> None:
    """Write a chunk to all of these connections, whatever else they get."""
    for reader in readers:
        reader.handed = True
        reader.write(chunk)
