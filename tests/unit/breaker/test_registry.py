"""Breakers by key: made once, bounded, the open ones kept longest."""

import threading

import pytest

from palaver.breaker import BreakerRegistry, CircuitBreaker, State, Transition
from palaver.breaker.testing import FakeClock
from tests.unit.breaker.driving import BoomError


def test_a_key_has_one_breaker_named_after_it() -> None:
    registry: BreakerRegistry[int] = BreakerRegistry(failure_threshold=3)
    assert registry.get(7) is registry[7]
    assert registry[7].name == "7"
    assert registry[7].config is registry[8].config
    assert registry.keys() == (7, 8)
    assert (len(registry), 7 in registry, 9 in registry) == (2, True, False)
    assert repr(registry) == "<BreakerRegistry of 2, at most 1000>"


def test_a_factory_makes_what_it_likes() -> None:
    registry: BreakerRegistry[str] = BreakerRegistry(
        lambda key: CircuitBreaker(key.upper(), failure_threshold=len(key))
    )
    assert registry["abc"].name == "ABC"
    assert registry["abc"].config.failure_threshold == 3


def test_beyond_the_bound_the_least_recently_used_closed_breaker_goes_first() -> None:
    registry: BreakerRegistry[str] = BreakerRegistry(max_keys=3, failure_threshold=1)
    for key in "abc":
        registry.get(key)
    registry["a"].acquire().failure(BoomError())
    registry.get("b")
    registry.get("d")
    assert registry.keys() == ("a", "b", "d")
    registry.get("e")
    assert registry.keys() == ("a", "d", "e")
    assert registry.evicted == 2


def test_if_all_are_open_the_oldest_goes_and_never_the_one_that_is_asked_for() -> None:
    registry: BreakerRegistry[str] = BreakerRegistry(max_keys=2, failure_threshold=1)
    for key in "abc":
        registry[key].acquire().failure(BoomError())
    assert registry.keys() == ("b", "c")
    registry = BreakerRegistry(max_keys=1)
    assert [registry[key].name for key in "xy"] == ["x", "y"]
    assert registry.keys() == ("y",)


def test_idle_closed_breakers_go_and_open_ones_stay() -> None:
    clock = FakeClock()
    registry: BreakerRegistry[str] = BreakerRegistry(idle_ttl=60, clock=clock, failure_threshold=1, open_for=1000)
    registry["open"].acquire().failure(BoomError())
    registry.get("idle")
    registry.get("busy")
    clock.advance(59)
    registry.get("busy")
    clock.advance(1)
    registry.get("new")
    assert registry.keys() == ("open", "busy", "new")


def test_discard_forgets_and_reset_closes_all() -> None:
    registry: BreakerRegistry[str] = BreakerRegistry(failure_threshold=1)
    registry["a"].acquire().failure(BoomError())
    registry.discard("a")
    registry.discard("never there")
    assert registry["a"].state is State.CLOSED
    registry["a"].acquire().failure(BoomError())
    registry.reset()
    assert registry["a"].state is State.CLOSED


def test_a_listener_hears_every_breaker_with_its_key() -> None:
    heard: list[tuple[str, State]] = []

    def listener(key: str, change: Transition) -> None:
        heard.append((key, change.after))

    registry: BreakerRegistry[str] = BreakerRegistry(listener=listener, failure_threshold=1)
    for key in "ab":
        registry[key].acquire().failure(BoomError())
    registry["a"].reset()
    assert heard == [("a", State.OPEN), ("b", State.OPEN), ("a", State.CLOSED)]


def test_threads_that_ask_at_once_get_the_same_breaker() -> None:
    barrier, got = threading.Barrier(8), []

    def factory(key: str) -> CircuitBreaker:
        barrier.wait(40)
        return CircuitBreaker(key)

    registry: BreakerRegistry[str] = BreakerRegistry(factory)
    threads = [threading.Thread(target=lambda: got.append(registry.get("one"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(got) == 8
    assert len(set(map(id, got))) == 1


def test_arguments_that_make_no_sense_are_refused() -> None:
    async def listener(key: str, change: Transition) -> None: ...

    with pytest.raises(ValueError, match="max_keys=0"):
        BreakerRegistry(max_keys=0)
    with pytest.raises(ValueError, match="idle_ttl=0"):
        BreakerRegistry(idle_ttl=0)
    with pytest.raises(ValueError, match="ramp"):
        BreakerRegistry(CircuitBreaker, ramp=5)
    with pytest.raises(TypeError, match="queue"):
        BreakerRegistry(listener=listener)
