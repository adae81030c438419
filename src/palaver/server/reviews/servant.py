"""The shell's servant: what people type in rooms, carried out by the owner of evaluations.

A command is considered before it is stored and obeyed after. What became impossible in between, or fails, is said in
the room, because the command stands there. Refuses to do: rights (the engine has looked at them).
"""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import structlog

from palaver.chat.commands import Objection
from palaver.chat.effects import Consider, Obey
from palaver.server.faults import new_trace
from palaver.server.reviews import commands
from palaver.server.reviews.owner import Reviews
from palaver.server.reviews.voice import PALAVER, Voice
from palaver.server.reviews.wishes import Declined, Wish

journal = structlog.get_logger("palaver.reviews")


class Servant:
    """Takes the commands of all rooms. `supervise` runs what takes time, and ends it with the owner."""

    def __init__(
        self, reviews: Reviews, voice: Voice, supervise: Callable[[Coroutine[Any, Any, None], str], None]
    ) -> None:
        self._reviews = reviews
        self._voice = voice
        self._supervise = supervise

    def consider(self, effect: Consider) -> Objection | None:
        """Say what stands in the way of a command."""
        job, reviews = effect.job, self._reviews
        try:
            match command := commands.parse(job.text):
                case commands.Ask():
                    reviews.check(replace(_wish(job.user.id, job.room, command), guest=effect.guest))
                case commands.Stop():
                    reviews.stoppable(job.room, job.user.id, moderates=effect.moderates)
                case commands.Again():
                    reviews.check(replace(reviews.last_wish(job.room, job.user.id), guest=effect.guest))
                case commands.Vote():
                    reviews.marks(reviews.latest(job.room).id, command)
        except commands.CommandError as error:
            return Objection("invalid_text", str(error))
        except Declined as declined:
            return declined.objection
        return None

    def obey(self, effect: Obey) -> None:
        """Carry out a command that is stored."""
        self._supervise(self._carry_out(effect), f"command {effect.mid}")

    async def _carry_out(self, effect: Obey) -> None:
        job = effect.job
        try:
            await self._do(effect, commands.parse(job.text))
        except Declined as declined:
            text = f"{job.user.name}: {declined.objection.message}"
            await self._voice.say(job.room, PALAVER, text, f"{effect.mid}:declined")
        except Exception as error:  # noqa: BLE001 - whatever a command stumbles over, its room is told
            trace = new_trace()
            journal.error("command_failed", trace=trace, room=job.room, exc_info=error)
            text = f"{job.user.name}: the server made a mistake ({trace}); nothing was done."
            await self._voice.say(job.room, PALAVER, text, f"{effect.mid}:declined")

    async def _do(self, effect: Obey, command: commands.Command) -> None:
        job, reviews = effect.job, self._reviews
        if isinstance(command, commands.Ask):
            # A repeated send asks only what the first one did not come to, because the process was killed.
            if not effect.duplicate or reviews.shelf.asked_by(effect.mid) is None:
                reviews.start(_wish(job.user.id, job.room, command, effect.mid))
        elif effect.duplicate:
            return
        elif isinstance(command, commands.Stop):
            await reviews.stoppable(job.room, job.user.id, moderates=True).stop(job.user.id)
        elif isinstance(command, commands.Again):
            await reviews.go_again(job.room, job.user.id, effect.mid)
        else:
            card = reviews.latest(job.room)
            await reviews.vote(card.id, job.user.id, reviews.marks(card.id, command))


def _wish(user: str, room: str, command: commands.Ask, mid: str = "") -> Wish:
    return Wish(asker=user, question=command.question, keys=command.keys, room=room, mid=mid)
