import pytest

from palaver.chat.rights import ACTIONS, GLOB_CHARS, GLOBS, GUEST, ClaimError, Rights, rights_from_claims


def test_a_guest_may_join_and_send_everywhere_and_moderate_nowhere() -> None:
    assert [GUEST.allows(action, "lobby") for action in ACTIONS] == [True, True, True, False]


def test_a_list_of_globs_means_join_send_and_ask_there() -> None:
    rights = rights_from_claims(["team-*", "lobby"], None)
    assert [rights.allows(action, "team-a") for action in ACTIONS] == [True, True, True, False]
    assert [rights.allows(action, "lobby") for action in ACTIONS] == [True, True, True, False]
    assert [rights.allows(action, "Lobby") for action in ACTIONS] == [False, False, False, False]


def test_an_object_gives_each_glob_its_actions() -> None:
    rights = rights_from_claims({"news": ["join"], "t-?": ["join", "send"], "t-[ab]": ["moderate", "ask"]}, None)
    assert rights == Rights(join=("news", "t-?"), send=("t-?",), ask=("t-[ab]",), moderate=("t-[ab]",))
    assert not rights.allows("send", "news")
    assert rights.allows("moderate", "t-a")
    assert not rights.allows("moderate", "t-c")


def test_no_rooms_at_all_is_not_the_same_as_no_claim() -> None:
    assert rights_from_claims([], None) == Rights(join=(), send=(), ask=())
    assert rights_from_claims(None, None) == Rights()


def test_a_moderator_moderates_everywhere_but_joins_only_where_the_token_says() -> None:
    rights = rights_from_claims(["lobby"], ["moderator"])
    assert rights.allows("moderate", "attic")
    assert not rights.allows("join", "attic")
    assert not rights.operator


def test_an_operator_moderates_everywhere_and_opens_the_administration() -> None:
    rights = rights_from_claims(None, ["operator"])
    assert rights.operator
    assert rights.allows("moderate", "attic")


@pytest.mark.parametrize(
    ("rooms", "roles"),
    [("lobby", None), (7, None), ([7], None), ([""], None), (["x" * (GLOB_CHARS + 1)], None), (["x", None], None),
     ({"a": "join"}, None), ({"a": ["fly"]}, None), ({"a": [[]]}, None), ([str(i) for i in range(GLOBS + 1)], None),
     (None, "moderator"), (None, ["king"]), (None, [[]]), (None, {"operator": True}), ([[]], None)],
)  # fmt: skip
def test_a_claim_of_another_shape_is_refused(rooms: object, roles: object) -> None:
    with pytest.raises(ClaimError):
        rights_from_claims(rooms, roles)
