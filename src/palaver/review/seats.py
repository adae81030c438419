"""Where a panel member sits: which client serves it, under which model id, and what its tokens cost."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from palaver.review.completions import Reply
from palaver.review.failures import Failure
from palaver.review.prompts import Messages
from palaver.review.providers import Request
from palaver.review.records import Spent

# A rough upper bound on tokens for text that was not sent yet; used for reservations only, never for the bill.
_CHARACTERS_PER_TOKEN = 2


class Asks(Protocol):
    """What the runner needs of a provider's client; `palaver.review.providers.Client` is one."""

    async def complete(self, request: Request, hear: Callable[[str], None] | None = None) -> Reply | Failure:
        """Ask once."""
        ...


@dataclass(frozen=True, slots=True)
class Price:
    """Nanodollars for each token: dollars per million tokens, times a thousand."""

    prompt: int = 0
    completion: int = 0

    def of(self, prompt_tokens: int, completion_tokens: int) -> int:
        """What a call costs, in nanodollars. Reasoning tokens are part of the completion."""
        return self.prompt * prompt_tokens + self.completion * completion_tokens

    def at_most(self, messages: Messages, max_tokens: int) -> int:
        """What a call may cost, in nanodollars: a reservation against the spending cap."""
        characters = sum(len(message["content"]) for message in messages)
        return self.of(characters // _CHARACTERS_PER_TOKEN + 1, max_tokens)


@dataclass(frozen=True, slots=True)
class Seat:
    """One member's seat. `provider` groups seats that share limits; a `None` temperature leaves it to the provider."""

    provider: str
    client: Asks
    model: str
    price: Price = Price()
    in_flight: int = 8
    answer_temperature: float | None = 0.7
    judgment_temperature: float | None = 0.3

    def spent(self, reply: Reply, milliseconds: int) -> Spent:
        """The bill of one reply."""
        return Spent(
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            reasoning_tokens=reply.reasoning_tokens,
            nanodollars=self.price.of(reply.prompt_tokens, reply.completion_tokens),
            milliseconds=milliseconds,
            model=reply.model,
            request=reply.request,
        )
