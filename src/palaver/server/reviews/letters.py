"""The names under which a room sees answers and judges until the ranking is out: A, B, C, …

Derived from the evaluation's secret seed, so that they are the same after a restart and say nothing about the order of
the panel. They differ from the labels that judges see.
"""

import string
from functools import lru_cache

from palaver.review import blind
from palaver.review.records import Evaluation


def letters(evaluation: Evaluation) -> dict[str, str]:
    """Each member's letter, in the order of the letters."""
    return dict(_letters(evaluation.seed, tuple(member.key for member in evaluation.panel)))


@lru_cache(maxsize=256)
def _letters(seed: str, keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    shuffled = blind.shuffled(seed, "audience", keys)
    return tuple((key, _letter(number)) for number, key in enumerate(shuffled))


def _letter(number: int) -> str:
    rounds, place = divmod(number, len(string.ascii_uppercase))
    return ("" if not rounds else _letter(rounds - 1)) + string.ascii_uppercase[place]
