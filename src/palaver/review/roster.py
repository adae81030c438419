"""The models file: which providers there are and which models they serve, read from TOML.

    [[provider]]
    name = "openrouter"
    base_url = "https://openrouter.ai/api/v1"
    key = "OPENROUTER_API_KEY"          # the name of an environment variable, never the key

    [[model]]
    key = "gpt"
    name = "GPT"
    provider = "openrouter"
    id = "openai/gpt-5.4"
    vendor = "OpenAI"
    price = { prompt = 1.25, completion = 10.0 }    # dollars per million tokens

Reading it opens no connection and looks at no key.
"""

import tomllib
from decimal import Decimal

import msgspec

from palaver.review.errors import ConfigurationError
from palaver.review.providers import Provider
from palaver.review.records import Member
from palaver.review.seats import Price

_NANODOLLARS_PER_TOKEN = 1_000  # for one dollar per million tokens


class PriceTag(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dollars per million tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    @property
    def price(self) -> Price:
        """The same in whole nanodollars per token; a fraction of one is rounded half to even."""
        return Price(*(int((Decimal(repr(each)) * _NANODOLLARS_PER_TOKEN).to_integral_value()) for each in self._both))

    @property
    def _both(self) -> tuple[float, float]:
        return self.prompt, self.completion


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the file. `key` is what commands and results call it; `id` is what its provider calls it."""

    key: str
    provider: str
    id: str
    name: str = ""
    vendor: str = ""
    answers: bool = True
    judges: bool = True
    price: PriceTag = PriceTag()
    answer_temperature: float | None = 0.7
    judgment_temperature: float | None = 0.3

    def member(self) -> Member:
        """The model as a member of a panel."""
        return Member(
            key=self.key, name=self.name or self.key, provider=self.provider, vendor=self.vendor, model=self.id,
            answers=self.answers, judges=self.judges,
        )  # fmt: skip


class Roster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole models file."""

    provider: tuple[Provider, ...]
    model: tuple[Model, ...]

    def provider_of(self, model: Model) -> Provider:
        """The provider that serves a model of this file."""
        return next(each for each in self.provider if each.name == model.provider)

    def panel(self, keys: tuple[str, ...] = ()) -> tuple[Member, ...]:
        """These models as a panel, in this order; all of them without keys. Raises `ConfigurationError`."""
        if not keys:
            return tuple(model.member() for model in self.model)
        known = {model.key: model for model in self.model}
        unknown = [key for key in keys if key not in known]
        if unknown:
            raise ConfigurationError(f"No model {', '.join(unknown)} in the models file; it has {', '.join(known)}.")
        return tuple(known[key].member() for key in keys)


def parse(text: str) -> Roster:
    """Read a models file. Raises `ConfigurationError` naming what to change."""
    try:
        roster = msgspec.convert(tomllib.loads(text), Roster)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"The models file cannot be read: {error}") from error
    _unique("provider", [each.name for each in roster.provider])
    _unique("model", [each.key for each in roster.model])
    names = {each.name for each in roster.provider}
    for model in roster.model:
        if model.provider not in names:
            raise ConfigurationError(
                f"Model {model.key!r} names provider {model.provider!r}, which is not in the file; add it or use one "
                f"of {', '.join(sorted(names)) or '(none)'}."
            )
    for provider in roster.provider:
        _check(provider)
    return roster


def _unique(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"The {what} {', '.join(twice)} is given twice; each needs a name of its own.")


def _check(provider: Provider) -> None:
    if not provider.base_url.startswith(("http://", "https://")):
        raise ConfigurationError(f"Provider {provider.name!r} has base_url {provider.base_url!r}; it must be http(s).")
    for field in ("in_flight", "deadline_seconds", "max_bytes"):
        value = getattr(provider, field)
        if value <= 0:
            raise ConfigurationError(f"Provider {provider.name!r} has {field} = {value}; it must be more than 0.")
