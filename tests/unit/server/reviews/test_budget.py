from hypothesis import given
from hypothesis import strategies as st

from palaver.server.reviews.budget import WINDOW_MS, Caps, Spending, allow

NOW = 10 * WINDOW_MS


def spent(nanodollars: int | None, *, user: str = "ada", room: str = "lobby", ago: int = 1) -> Spending:
    return Spending(at_ms=NOW - ago, user=user, room=room, nanodollars=nanodollars)


def test_the_smallest_of_what_is_left_counts() -> None:
    caps = Caps(evaluation=50, user=100, room=70, server=1000)
    assert allow(caps, [], "ada", "lobby", NOW).nanodollars == 50
    assert allow(caps, [spent(30)], "ada", "lobby", NOW).nanodollars == 40, "the room's"
    assert allow(caps, [spent(90, room="attic")], "ada", "lobby", NOW).nanodollars == 10, "the user's"
    assert allow(caps, [spent(90, room="attic", user="bob")], "ada", "lobby", NOW).nanodollars == 50


def test_it_says_whose_money_is_used_up() -> None:
    assert allow(Caps(user=100), [spent(100)], "ada", None, NOW).exhausted == "user"
    assert allow(Caps(room=100), [spent(100, user="bob")], "ada", "lobby", NOW).exhausted == "room"
    assert allow(Caps(server=100), [spent(100, user="bob", room="attic")], "ada", "lobby", NOW).exhausted == "server"


def test_what_is_older_than_a_day_is_forgotten() -> None:
    assert allow(Caps(user=100), [spent(100, ago=WINDOW_MS)], "ada", None, NOW).exhausted is None


def test_without_caps_nothing_is_limited_and_an_uncapped_run_blocks_a_cap_until_it_ends() -> None:
    assert allow(Caps(), [spent(10**12)], "ada", "lobby", NOW).nanodollars is None
    assert allow(Caps(user=100), [spent(None)], "ada", None, NOW).exhausted == "user"


@given(st.integers(1, 100), st.integers(1, 300), st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=30))
def test_evaluations_that_were_let_start_never_pass_a_cap(
    evaluation: int, user: int, asked: list[tuple[float, bool]]
) -> None:
    caps, book = Caps(evaluation=evaluation, user=user), list[Spending]()
    for share, ends in asked:
        allowed = allow(caps, book, "ada", None, NOW)
        if allowed.exhausted is not None or allowed.nanodollars is None:
            continue
        book.append(spent(int(allowed.nanodollars * share) if ends else allowed.nanodollars))
    assert sum(each.nanodollars or 0 for each in book) <= user
