"""Frames made here are exactly the library's."""

import pytest
from websockets.frames import Frame, Opcode

from palaver.server.framing import PING, text_frame


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_text_frame_is_the_librarys(length: int) -> None:
    payload = b"x" * length
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


def test_the_ping_is_the_librarys() -> None:
    assert Frame(Opcode.PING, b"").serialize(mask=False) == PING
