"""Rubrics: what is judged and with which weight; checked once, hashed into every result.

Invariants of a valid rubric: at least one criterion, distinct names, whole weights above 0 that add up to 100.
"""

import tomllib

import msgspec

from palaver.review.errors import ConfigurationError
from palaver.review.records import Criterion, Rubric, digest

HIGHEST = 10


class _Criterion(Criterion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A criterion as it is written in a file, where a misspelt field is a mistake; a record may gain fields."""


class _Written(Rubric, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rubric as it is written in a file."""

    criteria: tuple[_Criterion, ...]


STANDARD = Rubric(
    id="standard",
    criteria=(
        Criterion(name="correctness", weight=25, description="Is what it says true, and does its code work?"),
        Criterion(name="completeness", weight=20, description="Does it answer every part of the question?"),
        Criterion(name="clarity", weight=20, description="Is it well ordered and easy to follow?"),
        Criterion(name="depth", weight=20, description="Does it explain why, with its limits and alternatives?"),
        Criterion(name="usefulness", weight=15, description="Could the person who asked act on it as it stands?"),
    ),
)


def check(rubric: Rubric) -> Rubric:
    """Return a valid rubric unchanged. Raises `ConfigurationError` saying what to change."""
    names = [criterion.name for criterion in rubric.criteria]
    if not names:
        raise ConfigurationError(f"Rubric {rubric.id!r} has no criteria; give it at least one.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"Rubric {rubric.id!r} names {', '.join(twice)} twice; each criterion needs its own.")
    for criterion in rubric.criteria:
        if criterion.weight <= 0:
            raise ConfigurationError(f"Criterion {criterion.name!r} weighs {criterion.weight}; a weight is at least 1.")
    total = sum(criterion.weight for criterion in rubric.criteria)
    if total != 100:
        raise ConfigurationError(f"The weights of rubric {rubric.id!r} add up to {total}; they must add up to 100.")
    return rubric


def parse(text: str) -> Rubric:
    """Read a rubric from TOML. Raises `ConfigurationError`."""
    try:
        written = tomllib.loads(text)
        msgspec.convert(written, _Written)
        return check(msgspec.convert(written, Rubric))
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"The rubric cannot be read: {error}") from error


def fingerprint(rubric: Rubric) -> str:
    """Digest of criteria, weights and wording: two results are comparable only if theirs are equal."""
    return digest(msgspec.json.encode(rubric).decode())


def weighted(rubric: Rubric, scores: tuple[int, ...]) -> float:
    """The weighted score, exact to two decimals: whole scores and whole percents need no rounding."""
    assert len(scores) == len(rubric.criteria)
    return sum(score * each.weight for score, each in zip(scores, rubric.criteria, strict=True)) / 100
