"""Says things in rooms for the server's own users: through the engine and the log like everybody, so with a `seq`.

A message's `cid` is made from what it says about which evaluation, so that saying it once more after a restart stores
and shows nothing. Refuses to do: say what may not be said by any user (length, characters): texts are fitted before.
"""

import asyncio

import msgspec
import structlog

from palaver.chat.identity import Identity
from palaver.chat.records import OURS, User
from palaver.chat.rights import EVERYWHERE, Rights
from palaver.server.shell import Shell

PALAVER = User(f"{OURS}palaver", "Palaver")
SECONDS = 10.0  # until the store must have answered; then it is asked again, with the same cid
RETRY_SECONDS = 1.0

_RE = "review"
_RIGHTS = Rights(moderate=EVERYWHERE)  # slow mode is for people

journal = structlog.get_logger("palaver.reviews")


class _Reply(msgspec.Struct):
    type: str
    seq: int = 0
    code: str = ""
    message: str = ""
    retryable: bool = False
    retry_after_ms: int = 1_000


_decode = msgspec.json.Decoder(_Reply).decode


def answerer(evaluation: str, letter: str) -> User:
    """The user as whom an answer is given while nobody may know whose it is."""
    return User(f"{OURS}{evaluation}:{letter}", f"Answer {letter}")


class Voice:
    """Speaks through one shell."""

    def __init__(self, shell: Shell, text_chars: int) -> None:
        self._shell = shell
        self.text_chars = text_chars

    async def say(self, room: str, user: User, text: str, cid: str) -> int | None:
        """Say it until it is stored, and return its `seq`; None where the room does not take it.

        Cancelled, it may or may not be stored; saying it again with the same `cid` is harmless.
        """
        identity = Identity(user, _RIGHTS, None, None)
        frame = msgspec.json.encode({"type": "send", "id": _RE, "room": room, "text": text, "cid": cid})
        while True:
            try:
                async with asyncio.timeout(SECONDS):
                    reply = _decode(await self._shell.ask("", identity, frame, _RE))
            except TimeoutError:
                journal.warning("not_said_yet", room=room, cid=cid)
                continue
            if reply.type == "ack":
                return reply.seq
            if not reply.retryable:
                journal.error("not_said", room=room, cid=cid, code=reply.code, message=reply.message)
                return None
            await asyncio.sleep(reply.retry_after_ms / 1000)
