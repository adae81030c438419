"""What a peer hears when the server itself is at fault: `internal`, with a trace that the server's log has too."""

import secrets

import msgspec

from palaver.chat import replies


class _Id(msgspec.Struct):
    id: str


_decode = msgspec.json.Decoder(_Id).decode


def new_trace() -> str:
    """A name for one fault, to be found in the log. Says nothing about it."""
    return secrets.token_hex(8)


def fault_frame(request: bytes | None, trace: str) -> bytes:
    """The error that answers `request`, or a request without a readable `id`."""
    re = None
    if request is not None:
        try:
            re = _decode(request).id
        except (msgspec.MsgspecError, RecursionError):
            re = None  # the protocol has null for this
    return replies.error(re, "internal", "The server made a mistake. Send the same request again.", trace=trace)
