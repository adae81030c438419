"""How many bytes the set sends: the same on every machine and every Python. `benchmarks/crdt.py` calls it."""

import random

import msgspec

from palaver.crdt import HybridLogicalClock, LWWElementSet

START_MS, DAY_MS = 1_795_000_000_000, 86_400_000


def metadata_per_element(count: int = 200_000) -> float:
    """Bytes per element beyond the msgpack form of the names: stamps over a day, one element in ten removed."""
    rng = random.Random(0)
    names = [f"user:{number:07d}" for number in range(count)]
    rng.shuffle(names)
    members: LWWElementSet[str] = LWWElementSet(max_drift=None)
    for name in names:
        stamp = (START_MS + rng.randrange(DAY_MS)) << 17
        (members.add if rng.random() < 0.9 else members.remove)(name, stamp)
    return (len(members.encode()) - len(msgspec.msgpack.encode(names))) / count


def largest_delta(count: int = 10_000) -> int:
    """Bytes of the largest delta of one element with a name of twelve characters, stamped by the clock."""
    members: LWWElementSet[str] = LWWElementSet(clock=HybridLogicalClock("a", lambda: START_MS))
    return max(len(members.add(f"user:{number:07d}").encode()) for number in range(count))


def reconciliation(count: int = 1_000_000, difference: int = 1_000) -> dict[str, int]:
    """Bytes until two sets of `count` that differ in `difference` are equal: digests and diffs, in both directions."""
    clock = HybridLogicalClock("a", lambda: START_MS)
    one: LWWElementSet[str] = LWWElementSet((f"user:{number:07d}" for number in range(count)), clock=clock)
    other = one.copy()
    rng = random.Random(1)
    for turn, number in enumerate(rng.sample(range(count), difference)):
        (one if turn % 2 else other).remove(f"user:{number:07d}")
    sent = 0
    for sender, receiver in ((one, other), (other, one)):
        digest = receiver.digest()
        answer = sender.diff(digest)
        receiver.merge(answer)
        sent += len(digest.encode()) + len(answer.encode())
    assert one.state_equal(other)
    return {"sent": sent, "state": len(one.encode())}
