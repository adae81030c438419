"""Subscriptions and explanations."""

import gc
from datetime import UTC, datetime

import pytest

from palaver.crdt import HybridLogicalClock, LWWElementSet

pytestmark = pytest.mark.usefixtures("joining")

Change = tuple[frozenset[str], frozenset[str]]


def replica(name: str = "a", milliseconds: int = 1_000_000) -> LWWElementSet[str]:
    return LWWElementSet(clock=HybridLogicalClock(name, lambda: milliseconds))


def test_a_subscriber_hears_what_entered_and_what_left_after_it_happened() -> None:
    members, heard = replica(), list[tuple[Change, frozenset[str]]]()
    members.subscribe(lambda added, removed: heard.append(((added, removed), members.frozen())))

    members.add("ada")
    members.update(["bob", "cy"])
    members.remove("ada")

    none = frozenset[str]()
    assert heard == [
        ((frozenset({"ada"}), none), frozenset({"ada"})),
        ((frozenset({"bob", "cy"}), none), frozenset({"ada", "bob", "cy"})),
        ((none, frozenset({"ada"})), frozenset({"bob", "cy"})),
    ]


@pytest.mark.parametrize("size", [1, 50])
def test_a_merge_is_one_change_however_it_was_done(size: int) -> None:
    members, other, heard = replica(), replica("b", 1_000_001), list[Change]()
    members.update([str(number) for number in range(20)])
    for number in range(size):
        other.add(f"new:{number}")
    other.remove("3")
    members.subscribe(lambda added, removed: heard.append((added, removed)))

    members.merge(other)

    assert heard == [(frozenset(f"new:{number}" for number in range(size)), frozenset({"3"}))]


def test_a_write_that_changes_no_member_is_not_reported() -> None:
    members, heard = replica(), list[Change]()
    members.subscribe(lambda added, removed: heard.append((added, removed)))

    members.remove("ada")
    members.add("bob", 5)
    members.add("bob", 6)

    assert heard == [(frozenset({"bob"}), frozenset())]


def test_a_callback_that_writes_is_not_entered_again_until_it_returns() -> None:
    members, heard, depth = replica(), list[str](), 0

    def answer(added: frozenset[str], removed: frozenset[str]) -> None:
        nonlocal depth
        assert depth == 0
        depth += 1
        heard.append("".join(added | removed))
        if added == {"ada"}:
            members.add("bob")
            members.remove("ada")
        depth -= 1

    members.subscribe(answer)
    members.add("ada")

    assert heard == ["ada", "bob", "ada"]
    assert set(members) == {"bob"}


def test_a_closed_subscription_is_silent_and_may_be_closed_again() -> None:
    members, heard = replica(), list[Change]()
    subscription = members.subscribe(lambda added, removed: heard.append((added, removed)))

    subscription.close()
    subscription.close()
    members.add("ada")

    assert not heard


def test_a_bound_method_is_held_weakly() -> None:
    class Listener:
        heard = 0

        def listen(self, added: frozenset[str], removed: frozenset[str]) -> None:
            Listener.heard += len(added) + len(removed)

    members, listener = replica(), Listener()
    members.subscribe(listener.listen)
    members.add("ada")
    del listener
    gc.collect()
    members.add("bob")

    assert Listener.heard == 1


def test_what_a_callback_raises_reaches_the_writer_and_the_change_stands() -> None:
    members = replica()

    def fail(added: frozenset[str], removed: frozenset[str]) -> None:
        raise RuntimeError("no")

    subscription = members.subscribe(fail)
    with pytest.raises(RuntimeError):
        members.add("ada")
    subscription.close()

    assert "ada" in members


def test_a_callback_that_raises_hides_nothing_from_the_others() -> None:
    members = replica()
    heard: list[str] = []

    def write_and_fail(added: frozenset[str], removed: frozenset[str]) -> None:
        if "ada" in added:
            members.add("bob")
        raise RuntimeError("no")

    members.subscribe(write_and_fail)
    members.subscribe(lambda added, _: heard.extend(added))

    with pytest.raises(ExceptionGroup) as raised:
        members.add("ada")

    assert heard == ["ada", "bob"]
    assert [str(error) for error in raised.value.exceptions] == ["no", "no"]


def test_observers_that_start_later_still_hear_changes_in_order() -> None:
    members, other = replica(), replica("b")
    members.subscribe(lambda added, _: members.remove("ada") if "ada" in added else None)
    members.digest()
    cursor = members.cursor()

    members.add("ada")

    assert members.digest() == members.copy().digest()
    assert members.delta_since(cursor).removed() == {"ada"}
    assert not other


def test_an_explanation_names_the_deciding_write_where_it_came_from_and_what_it_beat() -> None:
    here, there = replica("here"), replica("there", 2_000_000)
    here.keep_provenance()
    here.keep_provenance()
    here.add("ada")
    there.remove("ada", 1_030_000 << 17)

    here.merge(there)
    why = here.explain("ada")

    assert not why.present
    assert why.source == "there"
    assert why.stamp == 1_030_000 << 17
    assert why.beaten_stamp == 1_000_000 << 17
    assert why.written_at == datetime(1970, 1, 1, 0, 17, 10, tzinfo=UTC)
    assert str(why) == (
        f"'ada' is out: the remove with stamp {1_030_000 << 17} from there decides. "
        f"It beat the add with stamp {1_000_000 << 17}."
    )


def test_an_explanation_knows_of_writes_never_made_and_writes_that_wait() -> None:
    here, fast = replica("here"), replica("fast", 9_000_000)
    here.merge(fast.add("ada"))

    why = here.explain("ada")

    assert why.stamp is None
    assert why.written_at is None
    assert why.pending == (9_000_000 << 17,)
    assert str(why) == "'ada' is out: it was never written. 1 write(s) from the future wait in quarantine."


def test_a_stamp_that_is_no_time_has_no_wall_time() -> None:
    here = replica("here")
    here.add("ada", -(1 << 60))

    assert here.explain("ada").written_at is not None or here.explain("ada").stamp == -(1 << 60)
    assert "add with stamp -1152921504606846976 decides" in str(here.explain("ada"))
