"""Does an answer end, or was it cut? And joining a cut answer with its continuation.

Detection needs no model: the finish reason, an open code fence, an empty text with tokens used, a very short text with
a full bill. Joining looks for text that the continuation repeats.

Invariant: `join` loses nothing: its result starts with the first text, and ends with the second apart from a
repetition of the first one's end.
"""

import re
from typing import Literal

Cut = Literal["at its limit", "open code fence", "empty with tokens used", "short with a full bill"]

# A repetition shorter than this, or of fewer different characters, may be a coincidence: a ruler, an indentation.
_SHORTEST_REPEAT = 16
_DISTINCT_IN_REPEAT = 6
_LONGEST_REPEAT = 8_000
_SHORT_CHARACTERS = 200
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*$", re.MULTILINE)
_REOPENED = re.compile(r"\s*(?:`{3,}|~{3,})[^\n`]*\n")


def cut(text: str, finish: str, completion_tokens: int, limit: int) -> Cut | None:
    """Why an answer counts as cut, or `None` if it ends properly. `limit` is the one of the call, in tokens."""
    if not text.strip():
        return "empty with tokens used" if completion_tokens > 0 or finish == "length" else None
    if finish == "length":
        return "at its limit"
    if open_fence(text):
        return "open code fence"
    if len(text) < _SHORT_CHARACTERS and completion_tokens >= limit:
        return "short with a full bill"
    return None


def open_fence(text: str) -> bool:
    """Whether a code block is still open at the end (CommonMark 4.5: as many of the same close it)."""
    opened = ""
    for found in _FENCE.finditer(text):
        marker = found[1]
        bare = found[0].strip() == marker
        if not opened:
            opened = marker
        elif bare and marker[0] == opened[0] and len(marker) >= len(opened):
            opened = ""
    return bool(opened)


def join(first: str, second: str) -> str:
    """The two texts as one, with what `second` repeats of the end of `first` taken only once."""
    if not first.strip():
        return second
    repeated = _repeated(first, second)
    if repeated:
        return first + second[repeated:]
    reopened = _REOPENED.match(second) if open_fence(first) else None
    if reopened:
        inside = second[reopened.end() :]
        repeated = _repeated(first, inside)
        # A block that is opened again starts on a line of its own; the answer may have been cut within a line.
        return first + (inside[repeated:] if repeated else inside)
    return first + second


def _repeated(first: str, second: str) -> int:
    """How many characters at the start of `second` repeat the end of `first`; 0 if that may be chance."""
    longest = min(len(first), len(second), _LONGEST_REPEAT)
    for length in range(longest, _SHORTEST_REPEAT - 1, -1):
        if first.endswith(second[:length]):
            return length if len(set(second[:length])) >= _DISTINCT_IN_REPEAT else 0
    return 0
