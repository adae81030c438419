"""Breakers by key, with bounds: one for each host, tenant or model, and no more than fit.

There is no global registry: whoever needs one makes it, and it goes with its owner. Breakers that are not closed
carry what was learnt about a failing dependency, so they are the last to be evicted.
"""

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar, Unpack

from palaver.breaker.breaker import CircuitBreaker
from palaver.breaker.checks import callback, duration, whole
from palaver.breaker.config import Config, Options
from palaver.breaker.engine import Clock
from palaver.breaker.tickets import Transition

K = TypeVar("K", bound=Hashable)


class BreakerRegistry(Generic[K]):
    """Makes and keeps one breaker for each key, least recently used first to go. For any number of threads.

    Args:
        factory: Makes the breaker of a key. None: `CircuitBreaker(str(key), config=Config(**options))`.
        max_keys: How many breakers are kept, at least 1.
        idle_ttl: A closed breaker that nobody asked for in so many seconds may go earlier. None: stays.
        listener: Called with key and transition after each change of any breaker, as by `CircuitBreaker.listen`.
        clock: Returns monotonic seconds; for `idle_ttl`, and for the breakers unless there is a factory.
        **options: The fields of `Config`, shared by all breakers; not together with a factory.
    """

    def __init__(
        self,
        factory: Callable[[K], CircuitBreaker] | None = None,
        *,
        max_keys: int = 1000,
        idle_ttl: float | None = None,
        listener: Callable[[K, Transition], object] | None = None,
        clock: Clock = time.monotonic,
        **options: Unpack[Options],
    ) -> None:
        whole("max_keys", max_keys)
        if idle_ttl is not None:
            duration("idle_ttl", idle_ttl)
        if listener is not None:
            callback(listener)
        if factory is not None and options:
            raise ValueError(f"give a factory or single options, not both; found {', '.join(options)}")
        config = Config(**options)

        def make(key: K) -> CircuitBreaker:
            return CircuitBreaker(str(key), config=config, clock=clock)

        self._factory = factory or make
        self._max_keys = max_keys
        self._idle_ttl = idle_ttl
        self._listener = listener
        self._clock = clock
        self._lock = threading.Lock()
        self._breakers: OrderedDict[K, tuple[CircuitBreaker, float]] = OrderedDict()
        self.evicted = 0

    def get(self, key: K) -> CircuitBreaker:
        """Return the breaker of this key; makes it if there is none, and evicts others if there are too many."""
        now = self._clock()
        with self._lock:
            if (found := self._breakers.get(key)) is not None:
                self._breakers[key] = (found[0], now)
                self._breakers.move_to_end(key)
                return found[0]
        made = self._factory(key)  # the user's code, so not under the lock; of two, the first to come back stays
        if self._listener is not None:
            made.listen(functools.partial(self._listener, key))
        with self._lock:
            breaker = self._breakers.setdefault(key, (made, now))[0]
            self._breakers.move_to_end(key)
            self._evict(now, key)
        return breaker

    __getitem__ = get

    def discard(self, key: K) -> None:
        """Forget the breaker of this key, if there is one."""
        with self._lock:
            self._breakers.pop(key, None)

    def reset(self) -> None:
        """Reset every breaker."""
        for breaker in self:
            breaker.reset()

    def keys(self) -> tuple[K, ...]:
        """The keys, least recently used first."""
        with self._lock:
            return tuple(self._breakers)

    def __iter__(self) -> Iterator[CircuitBreaker]:
        with self._lock:
            return iter([breaker for breaker, _ in self._breakers.values()])

    def __len__(self) -> int:
        return len(self._breakers)

    def __contains__(self, key: object) -> bool:
        return key in self._breakers

    def _evict(self, now: float, keep: K) -> None:
        if self._idle_ttl is not None:
            while (oldest := self._oldest_idle(now, keep)) is not None:
                self._drop(oldest)
        while len(self._breakers) > self._max_keys:
            others = [(key, breaker) for key, (breaker, _) in self._breakers.items() if key != keep]
            self._drop(next((key for key, breaker in others if breaker.is_closed), others[0][0]))

    def _oldest_idle(self, now: float, keep: K) -> K | None:
        """The least recently used closed breaker that has been idle for too long."""
        for key, (breaker, used) in self._breakers.items():
            if key == keep or self._idle_ttl is None or now - used < self._idle_ttl:
                return None
            if breaker.is_closed:
                return key
        return None

    def _drop(self, key: K) -> None:
        del self._breakers[key]
        self.evicted += 1

    def __repr__(self) -> str:
        return f"<BreakerRegistry of {len(self)}, at most {self._max_keys}>"
