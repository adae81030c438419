"""Where a lock lives: the names of its keys, all in one slot of a cluster.

The lock itself is the bare name, so that it excludes other libraries' locks of that name. Everything else carries a
hash tag that hashes like the name (Redis Cluster specification, "Hash tags").
"""

from dataclasses import dataclass

from palaver.lock.wire import packed


def hash_tag(key: str) -> str | None:
    """The part of `key` that a cluster hashes, or None if it hashes the whole key."""
    start = key.find("{")
    if start < 0:
        return None
    end = key.find("}", start + 1)
    return key[start + 1 : end] if end > start + 1 else None


def beside(key: str, suffix: str) -> str:
    """A key of our own in the same slot as `key`.

    Raises:
        ValueError: if `key` has a `}` that is not part of a hash tag, because no such key can be formed.
    """
    if hash_tag(key) is not None:
        return f"palaver:{key}:{suffix}"
    if "}" in key:
        raise ValueError(f"key {key!r} has a '}}' without a hash tag: use a name without it, or one like 'a{{b}}'")
    return f"palaver:{{{key}}}:{suffix}"


@dataclass(frozen=True, slots=True)
class LockKeys:
    """The keys of one lock: itself, its last fence, its queue."""

    lock: str
    fence: str
    queue: str
    declared: tuple[str, str, str]
    """What every script is given as KEYS."""
    packed: bytes
    """The same, behind their number, as it goes over the wire."""

    @classmethod
    def of(cls, name: str) -> "LockKeys":
        """The keys of the lock `name`.

        Raises:
            TypeError, ValueError: if `name` is not a usable name.
        """
        if not isinstance(name, str):
            raise TypeError(f"the lock's name must be a str, not {name!r}")
        if not name:
            raise ValueError("the lock's name must not be empty")
        fence, queue = beside(name, "fence"), beside(name, "queue")
        declared = (name, fence, queue)
        return cls(name, fence, queue, declared, packed=packed((len(declared), *declared)))

    def wake(self, token: str) -> str:
        """The list that the waiter with this token blocks on."""
        return f"{self.queue}:wake:{token}"
