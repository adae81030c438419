"""Composition: from settings to the owner of evaluations, with a guarded client for each provider."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from palaver.chat.effects import Effect
from palaver.review import roster
from palaver.review.errors import ConfigurationError
from palaver.review.folder import new_replica
from palaver.review.runner import Pace
from palaver.server import clock
from palaver.server.reviews import seating
from palaver.server.reviews.leases import claims_at
from palaver.server.reviews.live import Live
from palaver.server.reviews.owner import Bounds, Reviews
from palaver.server.reviews.running import Surroundings
from palaver.server.reviews.servant import Servant
from palaver.server.reviews.shelf import Shelf
from palaver.server.reviews.voice import Voice
from palaver.server.settings import Settings
from palaver.server.shell import Shell


@asynccontextmanager
async def opened(settings: Settings, shell: Shell) -> AsyncIterator[Reviews | None]:
    """The owner, or None where the settings name no models. `resume` it when the server listens.

    Raises ConfigurationError for a models file that cannot be used.
    """
    chosen = settings.reviews
    if chosen.models is None:
        yield None
        return
    try:
        known = roster.parse(chosen.models.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The models file {chosen.models} cannot be read: {error}.") from error
    async with AsyncExitStack() as stack:
        claims = await stack.enter_async_context(claims_at(chosen.lock_url))
        around = Surroundings(
            shelf=Shelf(chosen.directory, new_replica(), clock.wall_ms),
            voice=Voice(shell, settings.chat.text_chars),
            live=_live(shell),
            claims=claims,
            pace=Pace(in_flight=chosen.calls),
            wall_milliseconds=clock.wall_ms,
        )
        clients = await stack.enter_async_context(
            seating.clients(known, {provider.name for provider in known.provider})
        )
        bounds = Bounds(running=chosen.running, caps=chosen.caps, guests_ask=chosen.guests_ask)
        reviews = Reviews(known, clients, around, bounds)
        shell.performer.servant = Servant(reviews, around.voice, reviews.supervise)
        try:
            yield reviews
        finally:
            await reviews.close()


def _live(shell: Shell) -> Callable[[str | None, str, Mapping[str, str]], Live]:
    def push(effects: Iterable[Effect]) -> None:
        shell.stats.evaluation_frames += 1
        shell.perform(effects)

    def made(room: str | None, evaluation: str, letters: Mapping[str, str]) -> Live:
        return Live(push, room, evaluation, letters)

    return made
