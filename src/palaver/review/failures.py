"""What can go wrong in a call to a provider, as one table.

A failure is a value: it becomes a record, and a cell without marks gets it as its reason. The table says for each kind
whether another attempt may help, whether it speaks against the provider's health (so that a breaker counts it), and
whether it is the provider as a whole that is away rather than this one call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, final

FailureKind = Literal[
    "unreachable", "timeout", "overloaded", "rate_limited", "malformed", "too_large", "empty", "refused",
    "unauthorised", "rejected", "waiting",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trait:
    """What a kind of failure means."""

    text: str
    retry: bool
    unhealthy: bool
    away: bool


TRAITS: Mapping[FailureKind, Trait] = MappingProxyType(
    {
        "unreachable": Trait("no connection: DNS, refused, reset or cut off", retry=True, unhealthy=True, away=True),
        "timeout": Trait("no complete reply within the deadline", retry=True, unhealthy=True, away=True),
        "overloaded": Trait("the provider answered with a 5xx status", retry=True, unhealthy=True, away=True),
        "rate_limited": Trait("too many requests (429)", retry=True, unhealthy=False, away=True),
        "malformed": Trait("a reply without choices, or broken JSON", retry=True, unhealthy=True, away=False),
        "too_large": Trait("the reply passed the byte cap", retry=False, unhealthy=False, away=False),
        "empty": Trait("null or no content, and no tokens used", retry=True, unhealthy=False, away=False),
        "refused": Trait("the model or its filter declined", retry=False, unhealthy=False, away=False),
        "unauthorised": Trait(
            "the key is missing or not accepted (401, 403)", retry=False, unhealthy=False, away=False
        ),
        "rejected": Trait("the request is not accepted (other 4xx)", retry=False, unhealthy=False, away=False),
        "waiting": Trait("the provider's breaker is open; no call was made", retry=True, unhealthy=False, away=True),
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that gave no reply. `retry_after_seconds` is what the provider or the breaker asked for."""

    kind: FailureKind
    detail: str = ""
    retry_after_seconds: float | None = None
    request: str = ""

    @property
    def trait(self) -> Trait:
        """What this kind means."""
        return TRAITS[self.kind]


@final
class UnhealthyError(Exception):
    """Carries a failure that a breaker has to count out of the guarded call; `Client` turns it back into the value."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind, failure.detail)
        self.failure = failure


@final
class GuardOpenError(Exception):
    """What a guard raises instead of making the call. `retry_after` is in seconds, `None` if it does not know."""

    def __init__(self, retry_after: float | None = None) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


def of_status(status: int, detail: str, retry_after_seconds: float | None = None, request: str = "") -> Failure:
    """Classify an HTTP status, or the code that a provider embeds in a 200 reply."""
    kind: FailureKind = "rejected"
    if status == 429:
        kind = "rate_limited"
    elif status in (401, 403):
        kind = "unauthorised"
    elif status == 408 or status >= 500:
        kind = "overloaded"
    return Failure(kind, f"{status} {detail}"[:300].rstrip(), retry_after_seconds, request)
