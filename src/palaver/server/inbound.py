"""Bytes from a client become messages. RFC 6455 is the business of the `websockets` library; the common case is not.

The common case is a whole, final, masked text frame while no fragmented message is pending: it is cut out and unmasked
here, and costs a fifth of the time. Every other frame goes to the library, which decides about errors and answers.
The library's parser exists only while it is needed, because it is most of what a connection weighs.

Refuses to do: IO, and anything with the content of a message. Invariants: the library is given whole frames only, or
the beginning of a frame that it is sure to refuse, so between two calls it stands between two frames; a message holds
at most `limit` bytes; never more than one read of the socket and one frame is kept back.
"""

import logging

from websockets.exceptions import InvalidState
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State

try:
    from websockets.speedups import apply_mask
except ImportError:  # the library has no compiled part on this platform
    from websockets.utils import apply_mask

_LOGGER = logging.getLogger("palaver.websocket")
_LOGGER.setLevel(logging.CRITICAL)  # what a peer does wrong is counted by the shell, not logged line by line

_WHOLE_TEXT = 0x81
_MASKED = 0x80
_OPCODES = frozenset(Opcode)


class Inbound:
    """What has been read from one client and is not a message yet. A connection inherits it and says what to do."""

    __slots__ = ("_forgotten", "_held", "_library", "_message", "_message_is_text", "deaf")

    def __init__(self) -> None:
        self.deaf = False  # no frame is taken while this is set
        self._forgotten = False
        self._held: bytearray | None = None  # read, but not taken yet
        self._library: Protocol | None = None
        self._message: bytearray | None = None  # a fragmented message so far
        self._message_is_text = False

    # ---- what a connection does with it ----

    def text(self, payload: bytes, now: float) -> None:
        """Take a whole text message; it is valid UTF-8."""
        raise NotImplementedError

    def binary(self, now: float) -> None:
        """Take note of a whole binary message."""
        raise NotImplementedError

    def control(self, now: float) -> None:
        """Take note of a ping or a pong."""
        raise NotImplementedError

    def answer(self, data: bytes) -> None:
        """Send bytes of the WebSocket protocol itself."""
        raise NotImplementedError

    def ended(self, code: int, *, clean: bool) -> None:
        """Close the transport: the peer closed with `code` (`clean`), or it broke the protocol and was told `code`."""
        raise NotImplementedError

    # ---- taking frames ----

    def consume(self, data: bytes, limit: int, ration: int, now: float) -> int:
        """Take up to `ration` frames, messages of up to `limit` bytes; keep the rest. Returns how many were taken.

        A return of `ration`, or `deaf`, means that there may be more; call again with no data.
        """
        if self._forgotten:
            return 0
        chunk: bytes | bytearray = data
        if self._held is not None:
            self._held += data
            chunk, self._held = self._held, None
        at, size, taken = 0, len(chunk), 0
        while taken < ration and size - at >= 2 and not self.deaf:
            first, second = chunk[at], chunk[at + 1]
            start, length = at + 6, second & 0x7F
            if length > 125:
                start, length = _extended(chunk, at, length)
            end = start + length
            whole = length >= 0 and end <= size
            if first == _WHOLE_TEXT and second >= _MASKED and whole and length <= limit and self._library is None:
                payload = apply_mask(chunk[start:end], chunk[start - 4 : start])
                if payload.isascii() or _is_utf8(payload):
                    at, taken = end, taken + 1
                    self.text(payload, now)
                    continue
            if not whole and not self._sure_to_be_refused(first, second, length, limit):
                break  # the rest of the frame is still on its way
            end = min(end, size) if whole else size
            self._through_library(bytes(chunk[at:end]), limit, now)
            at, taken = end, taken + 1
        if at < size and not self._forgotten:
            if at or not isinstance(chunk, bytearray):
                chunk = bytearray(memoryview(chunk)[at:])
            self._held = chunk
        return taken

    def close_frame(self, code: int, reason: str, limit: int) -> bytes | None:
        """The bytes that begin the closing handshake, or None where it has begun."""
        library = self._parser(limit)
        try:
            library.send_close(code, reason)
        except InvalidState:
            return None
        return b"".join(library.data_to_send())

    def forget(self) -> None:
        """Drop what was read, and from now on whatever comes."""
        self.deaf = self._forgotten = True
        self._held = self._library = self._message = None

    def _parser(self, limit: int) -> Protocol:
        if self._library is None:
            self._library = Protocol(Side.SERVER, max_size=limit, logger=_LOGGER)
        return self._library

    def _sure_to_be_refused(self, first: int, second: int, length: int, limit: int) -> bool:
        if second < _MASKED or first & 0x0F not in _OPCODES:
            return True
        return length > limit - (0 if self._message is None else len(self._message))

    def _through_library(self, data: bytes, limit: int, now: float) -> None:
        library = self._parser(limit)
        library.receive_data(data)
        for event in library.events_received():
            if isinstance(event, Frame):
                self._frame(library, event, now)
        self._send_answers(library)
        if library.state is State.OPEN and self._message is None and not self.deaf:
            self._library = None

    def _frame(self, library: Protocol, frame: Frame, now: float) -> None:
        opcode = frame.opcode
        if opcode is Opcode.PING or opcode is Opcode.PONG:
            self.control(now)
        elif opcode is Opcode.CONT:
            assert self._message is not None, "the library refuses a continuation of nothing"
            self._message += frame.data
            if frame.fin:
                whole, self._message = bytes(self._message), None
                self._whole(library, whole, is_text=self._message_is_text, now=now)
        elif opcode is not Opcode.CLOSE:
            if frame.fin:
                self._whole(library, bytes(frame.data), is_text=opcode is Opcode.TEXT, now=now)
            else:
                self._message, self._message_is_text = bytearray(frame.data), opcode is Opcode.TEXT

    def _whole(self, library: Protocol, payload: bytes, *, is_text: bool, now: float) -> None:
        if not is_text:
            self.binary(now)
        elif _is_utf8(payload):
            self.text(payload, now)
        elif library.state is State.OPEN:
            library.fail(CloseCode.INVALID_DATA, "a text message is not UTF-8")

    def _send_answers(self, library: Protocol) -> None:
        answers = library.data_to_send()
        if not answers:
            return
        data = b"".join(answers)
        if data:
            self.answer(data)
        if library.eof_sent:
            received, sent = library.close_rcvd, library.close_sent
            clean = library.parser_exc is None and received is not None
            said: Close | None = received if clean else sent
            self.ended(CloseCode.ABNORMAL_CLOSURE if said is None else int(said.code), clean=clean)


def _extended(chunk: bytes | bytearray, at: int, marker: int) -> tuple[int, int]:
    """Where the payload begins, and its length where seven bits do not hold it; -1 where not all of it is here yet."""
    if marker == 126:
        return at + 8, chunk[at + 2] << 8 | chunk[at + 3] if len(chunk) - at >= 4 else -1
    digits = chunk[at + 2 : at + 10]
    return at + 14, int.from_bytes(digits, "big") if len(digits) == 8 else -1


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
