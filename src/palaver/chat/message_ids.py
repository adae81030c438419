"""Ids of messages. Refuses to do: places in a room, which are `seq`."""


class MessageIds:
    """Ids of messages: never the same twice, also after a restart (the prefix is drawn anew) and on other nodes."""

    __slots__ = ("_count", "_prefix")

    def __init__(self, prefix: bytes) -> None:
        self._prefix = f"m-{prefix.hex()}-"
        self._count = 0

    def next(self) -> str:
        """One more id."""
        self._count += 1
        return f"{self._prefix}{self._count}"
