"""What a stub does: which models it plays, how good, how severe, how slow, and what goes wrong when.

A script is a value read from TOML. It holds no state: which call is the how-many-th is the server's business.
"""

import tomllib
from typing import Literal

import msgspec

from palaver.review.errors import ConfigurationError

FaultKind = Literal[
    "status", "error_in_200", "no_choices", "null_content", "empty_with_tokens", "cut_json", "reset", "drip", "hang",
    "refusal", "prose", "floods",
]  # fmt: skip


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that goes wrong at a model's calls from number `first` to `last` (counted from 1), both included.

    `on` narrows it to answers or judgments, `rate` to a share of the calls drawn from the seed.
    """

    kind: FaultKind
    first: int = 1
    last: int = 1_000_000
    on: Literal["answers", "judgments", "all"] = "all"
    rate: float = 1.0
    status: int = 503
    retry_after_seconds: float | None = None
    seconds: float = 0.05


class StubModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the stub.

    `quality` is the mark its answers deserve, `severity` is added to every mark it gives, `noise` is the spread of its
    marks. An `obedient` model gives the marks that an answer dictates. `answer_tokens` is how long its whole answer is.
    """

    id: str
    quality: float = 7.0
    severity: float = 0.0
    noise: float = 0.6
    latency_seconds: float = 0.0
    answer_tokens: int = 250
    repeats_characters: int = 0
    reopens_fence: bool = False
    sees_cuts: bool = True
    obedient: bool = False
    faults: tuple[Fault, ...] = ()


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A whole stub. `latency_seconds` is that of models which are not in the script."""

    seed: str = "stub"
    model: tuple[StubModel, ...] = ()
    latency_seconds: float = 0.0

    def find(self, model: str) -> StubModel:
        """The model with this id; one that is not in the script plays with the defaults."""
        found = next((each for each in self.model if each.id == model), None)
        return StubModel(id=model, latency_seconds=self.latency_seconds) if found is None else found


def parse(text: str) -> Script:
    """Read a script from TOML. Raises `ConfigurationError`."""
    try:
        return msgspec.convert(tomllib.loads(text), Script)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"The stub's script cannot be read: {error}") from error
