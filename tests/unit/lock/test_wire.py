"""A call that we pack ourselves goes over the wire as redis-py would send it."""

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from palaver.lock.core import Call, abandon_call, extend_call, release_call
from palaver.lock.terms import Terms
from palaver.lock.wire import packed


def redis_py(*command: str | int) -> bytes:
    return b"".join(redis.Connection().pack_command(*command))  # type: ignore[no-untyped-call]  # redis-py leaves it so


@given(st.lists(st.text(max_size=20) | st.integers(), min_size=1))
def test_words_are_packed_as_redis_py_packs_them(words: list[str | int]) -> None:
    assert b"*%d\r\n%b" % (1 + len(words), packed(("ECHO", *words))) == redis_py("ECHO", *words)


@pytest.mark.parametrize("name", ["name", "ein schloß", "{a}b"])
def test_a_call_is_packed_as_redis_py_packs_it(name: str) -> None:
    terms = Terms.of(name, ttl=10, renew=False, max_hold=None, claim=1, durability=None)
    for call in (release_call(terms, "token"), abandon_call(terms, "token"), extend_call(terms, "token", 3)):
        assert call.packed == redis_py(*call.evalsha)


def test_other_scripts_are_left_to_redis_py() -> None:
    """Their arguments are the caller's: of any type, and of any length."""
    terms = Terms.of("name", ttl=10, renew=False, max_hold=None, claim=1, durability=None)
    assert Call(release_call(terms, "token").script, ("key",), ("value",)).packed is None
