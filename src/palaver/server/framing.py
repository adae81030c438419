"""Server frames as bytes, made once and shared by every connection they go to.

Only the one shape that the server sends a million times is made here: a whole, unmasked text frame (RFC 6455, 5.2).
Everything else about frames is the business of the `websockets` library; a test holds the two against each other.
"""

PING = b"\x89\x00"  # an RFC 6455 ping without payload, sent next to the JSON ping

_HEADS = tuple(
    bytes((0x81, length)) if length < 126 else b"\x81\x7e" + length.to_bytes(2, "big") for length in range(1024)
)
"""The heads of nearly all frames, by length, so that a frame is one concatenation."""


def text_frame(payload: bytes) -> bytes:
    """Frame valid UTF-8 as one text message."""
    length = len(payload)
    if length < len(_HEADS):
        return _HEADS[length] + payload
    if length < 65_536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload
