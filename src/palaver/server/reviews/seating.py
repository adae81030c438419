"""Seats a panel: a client for each provider behind a circuit breaker of its own. Composition only, also for the CLI."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from palaver.breaker import CircuitBreaker, CircuitOpenError
from palaver.review.errors import ConfigurationError
from palaver.review.providers import Client, connect
from palaver.review.records import Evaluation
from palaver.review.roster import Roster
from palaver.review.seats import Seat


@asynccontextmanager
async def clients(roster: Roster, providers: set[str]) -> AsyncIterator[Mapping[str, Client]]:
    """A guarded client for each of these providers; they are closed at the end."""
    async with AsyncExitStack() as stack:
        made = {}
        for provider in roster.provider:
            if provider.name in providers:
                breaker = CircuitBreaker(f"models {provider.name}")
                made[provider.name] = await stack.enter_async_context(connect(provider, breaker, CircuitOpenError))
        yield made


def seats(
    roster: Roster, evaluation: Evaluation, connected: Mapping[str, Client], members: Collection[str] = ()
) -> dict[str, Seat]:
    """A seat for each of these members of the panel, or for all. Raises `ConfigurationError` if the file lacks one."""
    models = {model.key: model for model in roster.model}
    strangers = sorted(set(members) - {member.key for member in evaluation.panel})
    if strangers:
        raise ConfigurationError(f"{evaluation.id} has no {', '.join(strangers)} on its panel.")
    wanted = [member for member in evaluation.panel if not members or member.key in members]
    missing = [member.key for member in wanted if member.key not in models]
    if missing:
        raise ConfigurationError(f"{evaluation.id} has {', '.join(missing)} on its panel; the models file does not.")
    made = {}
    for member in wanted:
        model = models[member.key]
        made[member.key] = Seat(
            provider=model.provider,
            client=connected[model.provider],
            model=model.id,
            price=model.price.price,
            in_flight=roster.provider_of(model).in_flight,
            answer_temperature=model.answer_temperature,
            judgment_temperature=model.judgment_temperature,
        )
    return made
