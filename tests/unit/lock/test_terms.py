"""Every argument is checked, and the error names the value."""

from datetime import timedelta

import pytest
import redis
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from palaver.lock import DistributedLock, Durability, FencedWriter, aio
from palaver.lock.keys import LockKeys, beside, hash_tag
from palaver.lock.terms import Terms, drift_seconds, milliseconds

BAD_DURATIONS = [True, "1", None, float("nan"), float("inf"), -1, 0, 0.0001, timedelta(0)]


@pytest.fixture
def client() -> redis.Redis:
    return redis.Redis()  # connects only when used


@pytest.mark.parametrize("bad", BAD_DURATIONS)
@pytest.mark.parametrize("argument", ["ttl", "claim"])
def test_a_bad_duration_is_named(client: redis.Redis, argument: str, bad: object) -> None:
    with pytest.raises((TypeError, ValueError), match=argument) as caught:
        DistributedLock(client, "name", **{argument: bad})  # type: ignore[arg-type]  # that is the point
    assert repr(bad) in str(caught.value) or isinstance(bad, timedelta)


@pytest.mark.parametrize("bad", [True, "1", float("nan"), -0.1])
def test_a_bad_patience_is_named(client: redis.Redis, bad: object) -> None:
    with pytest.raises((TypeError, ValueError), match="timeout"):
        DistributedLock(client, "name").acquire(bad)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("bad", ["", 1, None, b"name", "a}b"])
def test_a_bad_name_is_refused(client: redis.Redis, bad: object) -> None:
    with pytest.raises((TypeError, ValueError), match="name"):
        DistributedLock(client, bad)  # type: ignore[arg-type]  # that is the point


def test_the_wrong_kind_of_client_is_refused(client: redis.Redis) -> None:
    with pytest.raises(TypeError, match=r"redis\.Redis"):
        DistributedLock(redis.asyncio.Redis(), "name")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(TypeError, match=r"redis\.asyncio"):
        aio.DistributedLock(client, "name")  # type: ignore[arg-type]  # that is the point


def test_a_bound_on_renewal_needs_renewal(client: redis.Redis) -> None:
    with pytest.raises(ValueError, match="renew=True"):
        DistributedLock(client, "name", max_hold=60)
    with pytest.raises(ValueError, match="max_hold"):
        DistributedLock(client, "name", renew=True, ttl=10, max_hold=5)
    with pytest.raises(TypeError, match="renew"):
        DistributedLock(client, "name", renew=1)  # type: ignore[arg-type]  # that is the point


def test_durability_must_ask_for_something(client: redis.Redis) -> None:
    with pytest.raises(ValueError, match="asks for nothing"):
        Durability(replicas=0)
    with pytest.raises(ValueError, match="replicas"):
        Durability(replicas=-1)
    with pytest.raises(TypeError, match="durability"):
        DistributedLock(client, "name", durability=2)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("bad", [0, -1, True, "7", 1.5])
def test_a_fence_that_no_lease_has_is_refused(client: redis.Redis, bad: object) -> None:
    with pytest.raises((TypeError, ValueError), match="fence"):
        FencedWriter(client, bad)  # type: ignore[arg-type]  # that is the point


@given(st.floats(min_value=0.001, max_value=1e6))
def test_a_lease_here_ends_before_the_one_on_the_server(ttl: float) -> None:
    assert 0 < drift_seconds(ttl) < ttl
    assert milliseconds(ttl) >= 1


def test_keys_stay_in_the_slot_of_the_name() -> None:
    for name in ("orders", "orders:{7}:paid", "a{b", "{}x"):
        keys = LockKeys.of(name) if "}" not in name or hash_tag(name) else None
        if keys is not None:
            assert {hash_tag(key) for key in (keys.fence, keys.queue)} == {hash_tag(name) or name}
    with pytest.raises(ValueError, match="hash tag"):
        beside("{}x", "fence")


@pytest.mark.parametrize("ttl", [0.001, 10, 1_000_000])
def test_a_fence_is_kept_for_a_day_longer_than_its_lease(ttl: float) -> None:
    terms = Terms.of("name", ttl=ttl, renew=False, max_hold=None, claim=1, durability=None)
    assert terms.fence_ms == terms.ttl_ms + 24 * 60 * 60 * 1000
