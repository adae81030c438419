"""What is taken out here against the library: for any bytes in any chunks, messages and close codes are the same."""

import logging
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from palaver.server.inbound import Inbound

LIMIT = 300
_LOGGER = logging.getLogger("test.reference")
_LOGGER.setLevel(logging.CRITICAL)

Event = tuple[str, bytes] | tuple[str, int]


class Ours(Inbound):
    """Writes down what an Inbound does."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.sent = b""

    def text(self, payload: bytes, now: float) -> None:
        self.events.append(("text", payload))

    def binary(self, now: float) -> None:
        self.events.append(("binary", b""))

    def control(self, now: float) -> None:
        self.events.append(("control", b""))

    def answer(self, data: bytes) -> None:
        self.sent += data

    def ended(self, code: int, *, clean: bool) -> None:
        self.events.append(("clean" if clean else "broken", code))
        self.forget()

    def feed(self, chunk: bytes, ration: int) -> None:
        taken = self.consume(chunk, LIMIT, ration, 0.0)
        while taken == ration:
            taken = self.consume(b"", LIMIT, ration, 0.0)


class Reference:
    """The library alone, byte by byte, and the least that has to be added to make messages out of its frames."""

    def __init__(self) -> None:
        self.protocol = Protocol(Side.SERVER, max_size=LIMIT, logger=_LOGGER)
        self.events: list[Event] = []
        self.sent = b""
        self.message: list[bytes] = []
        self.is_text = True
        self.over = False

    def feed(self, chunk: bytes) -> None:
        for index in range(len(chunk)):
            self._feed(chunk[index : index + 1])

    def _feed(self, chunk: bytes) -> None:
        if self.over:
            return
        self.protocol.receive_data(chunk)
        for event in self.protocol.events_received():
            assert isinstance(event, Frame)
            self._frame(event)
        self.sent += b"".join(self.protocol.data_to_send())
        if self.protocol.eof_sent:
            self.over = True
            clean = self.protocol.parser_exc is None and self.protocol.close_rcvd is not None
            close = self.protocol.close_rcvd if clean else self.protocol.close_sent
            assert close is not None
            self.events.append(("clean" if clean else "broken", int(close.code)))

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.PING, Opcode.PONG):
            self.events.append(("control", b""))
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self.message, self.is_text = [], frame.opcode is Opcode.TEXT
        self.message.append(bytes(frame.data))
        if not frame.fin:
            return
        whole = b"".join(self.message)
        if not self.is_text:
            self.events.append(("binary", b""))
            return
        try:
            whole.decode()
        except UnicodeDecodeError:
            if self.protocol.state is State.OPEN:
                self.protocol.fail(CloseCode.INVALID_DATA, "a text message is not UTF-8")
        else:
            self.events.append(("text", whole))


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True, rsv: int = 0, width: int = 0) -> bytes:
    """One frame as a client sends it; `width` forces a length field that is longer than needed."""
    length = len(payload)
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    mark = 0x80 if masked else 0
    if width == 8 or length > 65_535:
        head += bytes([mark | 127]) + length.to_bytes(8, "big")
    elif width == 2 or length > 125:
        head += bytes([mark | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([mark | length])
    key = b"\x01\x80\xfe\x37"
    if not masked:
        return head + payload
    keys = (key * (length // 4 + 1))[:length]
    return head + key + (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(length, "big")


_payloads = st.one_of(
    st.just(b""),
    st.binary(max_size=130),
    st.text(max_size=60).map(str.encode),
    st.integers(LIMIT - 2, LIMIT + 2).map(lambda size: b"x" * size),
)
_good = st.builds(frame, st.just(1), st.text(max_size=40).map(str.encode))
_any = st.builds(
    frame,
    st.sampled_from([0, 1, 2, 8, 9, 10, 0, 1, 1, 3, 11]),
    _payloads,
    fin=st.sampled_from([True, True, False]),
    masked=st.sampled_from([True, True, True, True, False]),
    rsv=st.sampled_from([0, 0, 0, 0, 0, 1, 4]),
    width=st.sampled_from([0, 0, 2, 8]),
)
_closes = st.builds(
    lambda code, reason: frame(8, code.to_bytes(2, "big") + reason), st.integers(0, 5000), st.binary(max_size=5)
)
_large = st.builds(frame, st.sampled_from([0, 1, 2]), st.integers(LIMIT // 2, LIMIT + 2).map(lambda size: b"x" * size))
_fragments = st.builds(frame, st.sampled_from([0, 1, 2]), st.binary(max_size=LIMIT // 2), fin=st.booleans())
_pieces = st.one_of(_good, _good, _good, _any, _large, _fragments, _fragments, _closes, st.binary(max_size=20))
_streams = st.builds(
    lambda pieces, lost: b"".join(pieces)[: -lost or None],
    st.lists(_pieces, min_size=1, max_size=12),
    st.sampled_from([0, 0, 0, 1, 20, 100]),
)


def _one_after_the_other(stream: bytes, cuts: list[int], ration: int) -> None:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    ours, reference = Ours(), Reference()
    for start, stop in pairwise(edges):
        ours.feed(stream[start:stop], ration)
        reference.feed(stream[start:stop])
    assert ours.events == reference.events
    assert ours.sent == reference.sent


@given(stream=_streams, cuts=st.lists(st.integers(0, 5_000), max_size=8), ration=st.integers(1, 5))
@example(stream=frame(1, b"\xff"), cuts=[], ration=1)
@example(stream=frame(1, b"a", fin=False) + frame(9, b"") + frame(0, b"\xff"), cuts=[3, 9], ration=64)
@example(stream=frame(1, b"x" * 301), cuts=[2, 4], ration=64)
@example(stream=frame(1, b"x" * 301), cuts=[], ration=64)
@example(stream=frame(1, b"a", fin=False) + frame(1, b"b"), cuts=[], ration=64)
@example(stream=frame(1, b"a" * 200, fin=False) + frame(0, b"b" * 200)[:8], cuts=[], ration=64)
@example(stream=frame(1, b"a", masked=False) + frame(1, b"b"), cuts=[], ration=64)
@settings(max_examples=600, deadline=None)
def test_the_fast_path_and_the_library_see_the_same(stream: bytes, cuts: list[int], ration: int) -> None:
    _one_after_the_other(stream, cuts, ration)


@pytest.mark.nightly
@given(stream=_streams, cuts=st.lists(st.integers(0, 5_000), max_size=20), ration=st.integers(1, 5))
@settings(max_examples=100_000, deadline=None)
def test_they_see_the_same_for_a_hundred_thousand_streams(stream: bytes, cuts: list[int], ration: int) -> None:
    _one_after_the_other(stream, cuts, ration)


@given(stream=_streams)
@settings(max_examples=100, deadline=None)
def test_byte_by_byte_is_the_same_as_all_at_once(stream: bytes) -> None:
    whole, bytewise = Ours(), Ours()
    whole.feed(stream, 64)
    for index in range(len(stream)):
        bytewise.feed(stream[index : index + 1], 64)
    assert bytewise.events == whole.events
    assert bytewise.sent == whole.sent


@given(payloads=st.lists(st.text(max_size=200).map(str.encode), min_size=1, max_size=20), cut=st.integers(1, 40))
def test_the_parser_is_gone_when_it_is_not_needed(payloads: list[bytes], cut: int) -> None:
    ours = Ours()
    stream = frame(9, b"still there?") + b"".join(
        frame(1, payload[:LIMIT]) for payload in payloads if len(payload) < LIMIT
    )
    for start in range(0, len(stream), cut):
        ours.feed(stream[start : start + cut], 64)
    assert ours._library is None
    assert ours._held is None
