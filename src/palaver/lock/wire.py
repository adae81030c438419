"""Words of a command as Redis reads them: the length of each, then its bytes (its protocol's bulk strings).

Packing a command takes redis-py longer than the server takes to run it; most of a lock's commands is the same each
time and is packed once.
"""

from collections.abc import Iterable
from functools import lru_cache


def packed(words: Iterable[str | int]) -> bytes:
    """The words one behind the other, in UTF-8, without the number of words that a command starts with."""
    return b"".join([packed_word(word) for word in words])


def packed_word(word: str | int) -> bytes:
    """One of them."""
    text = str(word).encode()
    return b"$%d\r\n%b\r\n" % (len(text), text)


@lru_cache(maxsize=1024)
def packed_terms(words: tuple[str | int, ...]) -> bytes:
    """`packed`, remembered: for what a lock says each time."""
    return packed(words)
