"""What keeps judging blind: labels, orders and fences, all derived from the evaluation's secret seed.

Nothing here is random: the same evaluation gives the same labels on every machine, so that prompts have equal hashes
and partial runs merge. To those who do not know the seed it looks random (HMAC-SHA-256).

Invariants: a label says nothing about whose answer it is and differs for each judge; a fence never occurs in the text
that it encloses.
"""

import hmac
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_SEPARATOR = "\x1f"


def derive(seed: str, *parts: str) -> bytes:
    """32 bytes that depend on the seed and on every part."""
    return hmac.digest(seed.encode(), _SEPARATOR.join(parts).encode(), "sha256")


def label(seed: str, judge: str, subject: str) -> str:
    """The name under which `judge` sees the answer of `subject`: six consonants."""
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in derive(seed, "label", judge, subject)[:6])


def fence(seed: str, judge: str, subject: str, *enclosed: str) -> str:
    """A line end that occurs in none of the enclosed texts, so that no text can close its own fence."""
    for attempt in range(1_000):
        nonce = derive(seed, "fence", judge, subject, str(attempt)).hex()[:24]
        if not any(nonce in text for text in enclosed):
            return nonce
    raise AssertionError("a thousand 96-bit nonces occur in one text")


def shuffled(seed: str, purpose: str, items: Iterable[T], key: Sequence[str] | None = None) -> list[T]:
    """The items in an order that depends on seed and purpose only. `key` names items that are no strings."""
    listed = list(items)
    names = [str(item) for item in listed] if key is None else key
    order = sorted(range(len(listed)), key=lambda index: derive(seed, "order", purpose, names[index]))
    return [listed[index] for index in order]


def number(seed: str, below: int, *parts: str) -> int:
    """A whole number from 0 to `below - 1`."""
    return int.from_bytes(derive(seed, "number", *parts)[:8], "big") % below
