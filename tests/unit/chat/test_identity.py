import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.chat.identity import Identity, Refusal, identity_from_claims
from palaver.chat.records import User
from palaver.chat.rights import Rights

CLAIMS: dict[str, object] = {"sub": "7", "name": "ada", "exp": 1_000_100}
WALL = 1_000_000.0  # the monotonic clock began at zero


def test_claims_become_an_identity_with_its_expiry_on_both_clocks() -> None:
    identity = identity_from_claims(CLAIMS, now=5.0, wall=WALL, leeway_seconds=3.0)
    assert identity == Identity(User("7", "ada"), Rights(), expires=103.0, expires_ms=1_000_100_000)


@pytest.mark.parametrize(("now", "code"), [(102.9, None), (103.0, "token_expired"), (1e9, "token_expired")])
def test_a_token_counts_until_its_expiry_and_the_leeway(now: float, code: str | None) -> None:
    verdict = identity_from_claims(CLAIMS, now=now, wall=WALL, leeway_seconds=3.0)
    assert (verdict.code if isinstance(verdict, Refusal) else None) == code


def test_a_token_that_is_not_valid_yet_is_refused_until_the_leeway_before() -> None:
    early = CLAIMS | {"nbf": 1_000_010}
    assert isinstance(identity_from_claims(early, now=6.0, wall=WALL, leeway_seconds=3.0), Refusal)
    assert isinstance(identity_from_claims(early, now=7.0, wall=WALL, leeway_seconds=3.0), Identity)


@pytest.mark.parametrize(
    "change",
    [{"exp": None}, {"exp": "1000100"}, {"exp": True}, {"exp": math.inf}, {"exp": math.nan}, {"exp": 1_000_100_000_000},
     {"nbf": "x"}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 129}, {"sub": "a\nb"}, {"name": None}, {"name": ""},
     {"name": "a\x00"},
{"rooms": "lobby"}, {"roles": ["king"]}],
)  # fmt: skip
def test_a_wrong_claim_is_an_invalid_token(change: dict[str, object]) -> None:
    verdict = identity_from_claims(CLAIMS | change, now=0.0, wall=WALL)
    assert isinstance(verdict, Refusal)
    assert verdict.code == "invalid_token"


def test_a_token_without_expiry_is_refused() -> None:
    assert isinstance(identity_from_claims({"sub": "7", "name": "ada"}, now=0.0, wall=WALL), Refusal)


json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@given(st.dictionaries(st.sampled_from(["sub", "name", "exp", "nbf", "rooms", "roles"]), json))
def test_no_claims_make_it_raise(claims: dict[str, object]) -> None:
    assert isinstance(identity_from_claims(claims, now=0.0, wall=WALL), Identity | Refusal)
