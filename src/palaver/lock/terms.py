"""The terms of a lock: every argument checked once, in one place, and turned into what the scripts take.

Durations are seconds (int or float) or `timedelta`; never bool, never NaN.
"""

import math
from dataclasses import dataclass
from datetime import timedelta

from palaver.lock.keys import LockKeys

Seconds = float | timedelta
"""A duration: seconds, or a `timedelta`."""

SHORTEST_SECONDS = 0.001
"""The server counts in milliseconds."""

CLAIM_SECONDS = 1.0
"""How long a waiter that was handed the lock has to confirm; what a dead or stopped waiter costs the next one."""

FENCE_SECONDS = 86_400.0
"""How long the last fence is remembered after a grant. Longer than any process is stopped and comes back."""

GONE_SECONDS = 5.0
"""How long a released token is remembered, for a release that is repeated because its reply was lost."""


def seconds(argument: str, value: Seconds, *, least: float = SHORTEST_SECONDS) -> float:
    """`value` in seconds.

    Raises:
        TypeError: if it is not a duration.
        ValueError: if it is not finite or is less than `least`.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{argument} must be seconds or a timedelta, not {value!r}")
    if not math.isfinite(value) or value < least:
        raise ValueError(f"{argument} must be finite and at least {least} s, not {value!r}")
    return float(value)


def whole(argument: str, value: object, *, least: int) -> int:
    """`value`, a whole number.

    Raises:
        TypeError: if it is not an int, or is a bool.
        ValueError: if it is less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{argument} must be an int, not {value!r}")
    if value < least:
        raise ValueError(f"{argument} must be at least {least}, not {value!r}")
    return value


def milliseconds(value: float) -> int:
    """Whole milliseconds, at least one: the server takes 0 for "delete"."""
    return max(1, round(value * 1000))


def fence_milliseconds(ttl: float) -> int:
    """How long the fence of a lease of `ttl` seconds is kept."""
    return milliseconds(FENCE_SECONDS + ttl)


def drift_seconds(ttl: float) -> float:
    """What is taken off a lease for the two clocks' different rates: 1 % and a millisecond, at most half the lease.

    The server may run fast by that much before a lease that is valid here has ended there.
    """
    return min(ttl * 0.01 + 0.001, ttl / 2)


@dataclass(frozen=True, slots=True)
class Durability:
    """How many copies must acknowledge a grant before it counts.

    `replicas` is sent with WAIT; with `fsync` it is sent with WAITAOF (server 7.2 or newer), and the server's own
    append-only file must be on disk too. This narrows the window in which a failover loses a lock; it does not
    close it: only the fence does.
    """

    replicas: int = 1
    timeout: float = 1.0
    fsync: bool = False

    def __post_init__(self) -> None:
        whole("replicas", self.replicas, least=0)
        if self.replicas == 0 and not self.fsync:
            raise ValueError("durability with replicas=0 and fsync=False asks for nothing: pass durability=None")
        seconds("timeout", self.timeout)

    @property
    def command(self) -> tuple[str | int, ...]:
        """The command to send right behind the grant, on the same connection."""
        if self.fsync:
            return ("WAITAOF", 1, self.replicas, milliseconds(self.timeout))
        return ("WAIT", self.replicas, milliseconds(self.timeout))

    def acknowledged(self, reply: object) -> tuple[int, int]:
        """How many copies acknowledged, and how many were asked for, counting the server's own file as one."""
        if isinstance(reply, list | tuple):
            local, replicas = reply
            return min(int(local), 1) + min(int(replicas), self.replicas), 1 + self.replicas
        assert isinstance(reply, int)
        return min(reply, self.replicas), self.replicas


@dataclass(frozen=True, slots=True)
class Terms:
    """What a lock was asked to be, validated."""

    keys: LockKeys
    ttl: float
    renew: bool
    max_hold: float | None
    claim: float
    durability: Durability | None
    ttl_ms: int
    claim_ms: int
    fence_ms: int
    valid_seconds: float
    """How long a grant counts here, from before its request was sent."""

    @classmethod
    def of(
        cls,
        name: str,
        *,
        ttl: Seconds,
        renew: bool,
        max_hold: Seconds | None,
        claim: Seconds,
        durability: Durability | None,
    ) -> "Terms":
        """Check every argument.

        Raises:
            TypeError, ValueError: naming the argument, its value and what is allowed.
        """
        if not isinstance(renew, bool):
            raise TypeError(f"renew must be True or False, not {renew!r}")
        if max_hold is not None and not renew:
            raise ValueError("max_hold bounds renewal: pass renew=True with it")
        if durability is not None and not isinstance(durability, Durability):
            raise TypeError(f"durability must be a Durability or None, not {durability!r}")
        lasting, claiming = seconds("ttl", ttl), seconds("claim", claim)
        return cls(
            keys=LockKeys.of(name),
            ttl=lasting,
            renew=renew,
            max_hold=None if max_hold is None else seconds("max_hold", max_hold, least=lasting),
            claim=claiming,
            durability=durability,
            ttl_ms=milliseconds(lasting),
            claim_ms=milliseconds(claiming),
            fence_ms=fence_milliseconds(lasting),
            valid_seconds=lasting - drift_seconds(lasting),
        )

    @property
    def name(self) -> str:
        """The lock's name, which is also its key."""
        return self.keys.lock

    @property
    def renew_every(self) -> float:
        """Seconds between renewals: a third of the lease, so that two may fail."""
        return self.ttl / 3

    @property
    def grace(self) -> float:
        """How long before its end an unconfirmed renewed lease is given up, so that the body can stop in time."""
        return min(self.ttl / 10, 1.0)
