"""Messages that are commands: which they are, and what stands in the way of one. What they mean is decided elsewhere.

A command is an ordinary message that somebody else carries out: it is stored and shown like any other, but only after
whoever carries it out has said that it can be. Refuses to do: parse more than the first word. Invariant: a command
that is refused costs its sender nothing, and nobody else hears of it.
"""

import msgspec

from palaver.chat.effects import Append, Consider
from palaver.chat.session import Session
from palaver.chat.state import State

COMMANDS = ("/ask", "/vote")
_SPENDING = "/ask"


class Objection(msgspec.Struct, frozen=True, gc=False):
    """Why a command is not carried out: a code of palaver.chat.errors and a sentence for the sender, nobody else."""

    code: str
    message: str
    retry_after_ms: int | None = None


def is_command(text: str) -> bool:
    """Whether a message begins with the word of a command."""
    return text.startswith("/") and text.split(maxsplit=1)[0] in COMMANDS


class Commands:
    """What happens to a command until it is stored. Without state of its own."""

    def __init__(self, state: State) -> None:
        self._state = state

    def propose(self, session: Session, job: Append, now: float) -> None:
        """Ask whether a command can be carried out, unless its sender may not give it."""
        spends = job.text.split(maxsplit=1)[0] == _SPENDING
        if spends and not session.rights.allows("ask", job.room):
            self._refuse(session, job, Objection("forbidden", f"You may not ask models in {job.room}."), now)
        else:
            guest = session.person is not None and session.person.guest
            self._state.out.append(Consider(job, guest, session.rights.allows("moderate", job.room)))

    def considered(self, effect: Consider, objection: Objection | None, now: float) -> None:
        """Whoever carries commands out has looked at it."""
        session = self._state.sessions.get(effect.job.connection)
        if objection is None:
            self._state.out.append(effect.job)
        elif session is not None:
            self._refuse(session, effect.job, objection, now)

    def _refuse(self, session: Session, job: Append, objection: Objection, now: float) -> None:
        if self._state.windows is not None:
            self._state.windows.of(job.user.id).give_back(job.accepted)
        self._state.paces.of(job.room).give_back(job.user.id)
        field = "text" if objection.code == "invalid_text" else None
        after_ms = objection.retry_after_ms
        self._state.refuse(
            session, job.re, objection.code, objection.message, now, field=field, retry_after_ms=after_ms
        )
