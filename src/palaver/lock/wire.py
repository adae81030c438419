"""Words of a command as Redis reads them: the length of each, then its bytes (its protocol's bulk strings).

Packing a command takes redis-py longer than the server takes to run it; most of a lock's commands is the same each
time and is packed once.
"""

from functools import lru_cache


@lru_cache(maxsize=1024)
def packed(words: tuple[str | int, ...]) -> bytes:
    """The words one behind the other, in UTF-8, without the number of words that a command starts with. Remembered."""
    parts = []
    for word in words:
        text = str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)
