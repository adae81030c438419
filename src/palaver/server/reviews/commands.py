"""What people type: `/ask` and `/vote`, read into values.

    /ask @gpt @opus Why is the sky blue?     these models answer, and judge each other
    /ask Why is the sky blue?                all models of the file
    /ask stop                                stop the room's evaluation
    /ask again                               open its failed calls again, or ask the question anew
    /vote B                                  B is the best answer
    /vote A 7 B 9                            marks from 0 to 10

Pure. Whether models and answers of these names exist is checked elsewhere. Invariant: what is not understood raises
`CommandError` with words for the person who typed it.
"""

import re
from dataclasses import dataclass

from palaver.review.rubric import HIGHEST

QUESTION_CHARS = 100_000
_VOTE = "Vote with /vote B for the best answer, or with marks from 0 to 10: /vote A 7 B 9."
_KEY = re.compile(r"@(\S+)\s*")


class CommandError(Exception):
    """The command cannot be understood; the text says what to type instead."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Put a question to models; without `keys` to all of them."""

    keys: tuple[str, ...]
    question: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the room's evaluation."""


@dataclass(frozen=True, slots=True)
class Again:
    """Open the failed calls of the room's last evaluation again, or ask its question anew."""


@dataclass(frozen=True, slots=True)
class Vote:
    """Marks for answers by letter; with `best`, the one answer that is better than all others."""

    marks: tuple[tuple[str, int], ...] = ()
    best: str | None = None


Command = Ask | Stop | Again | Vote


def parse(text: str) -> Command:
    """Read a command. Raises `CommandError`."""
    word, *rest = text.strip().split(maxsplit=1)
    said = rest[0].strip() if rest else ""
    return _vote(said) if word == "/vote" else _ask(said)


def _ask(rest: str) -> Ask | Stop | Again:
    if rest == "stop":
        return Stop()
    if rest == "again":
        return Again()
    keys: list[str] = []
    while found := _KEY.match(rest):
        keys.append(found[1])
        rest = rest[found.end() :]
    if not rest.strip():
        raise CommandError("Write a question behind it: /ask @model @model question. Without names all models answer.")
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise CommandError(f"@{twice[0]} is named twice; name each model once.")
    return Ask(tuple(keys), rest.strip())


def _vote(rest: str) -> Vote:
    words = rest.upper().split()
    if len(words) == 1 and words[0].isalpha():
        return Vote(best=words[0])
    if not words or len(words) % 2:
        raise CommandError(_VOTE)
    marks: dict[str, int] = {}
    for letter, mark in zip(words[::2], words[1::2], strict=True):
        if not letter.isalpha() or not mark.isascii() or not mark.isdigit() or int(mark) > HIGHEST:
            raise CommandError(_VOTE)
        if letter in marks:
            raise CommandError(f"{letter} is marked twice. {_VOTE}")
        marks[letter] = int(mark)
    return Vote(tuple(marks.items()))
