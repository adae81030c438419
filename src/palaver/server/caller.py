"""Somebody who came by HTTP, as the engine sees them: a connection for one request.

Errors:
    CallerRefused   the engine would have closed the connection; `code` is the close code
"""

import asyncio

import msgspec


class CallerRefused(Exception):  # noqa: N818 - it is an answer, not a fault
    """The engine has refused to serve this caller at all."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class _Head(msgspec.Struct):
    type: str
    re: str | None = None


_decode = msgspec.json.Decoder(_Head).decode


class HttpCaller:
    """Gets frames like a connection does and picks the one that answers its request out of them."""

    __slots__ = ("_re", "reply")

    def __init__(self, re: str) -> None:
        self._re = re
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def answer(self, frame: bytes) -> None:
        """A frame for the caller: its reply, an error that names no request, or a push that is not for HTTP."""
        head = _decode(frame)
        if (head.re == self._re or (head.type == "error" and head.re is None)) and not self.reply.done():
            self.reply.set_result(frame)

    def refuse(self, code: int, reason: str) -> None:
        """The engine closes the connection."""
        if not self.reply.done():
            self.reply.set_exception(CallerRefused(code, reason))
