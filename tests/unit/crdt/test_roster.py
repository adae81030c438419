"""Tombstones go when all members have passed them, and nothing comes back."""

import pytest

from palaver.crdt import (
    MIN_STAMP,
    BehindFloorError,
    HybridLogicalClock,
    LWWElementSet,
    Report,
    Roster,
    StampError,
    merged,
)

pytestmark = pytest.mark.usefixtures("joining")


class Wall:
    def __init__(self) -> None:
        self.milliseconds = 1_000_000

    def __call__(self) -> int:
        self.milliseconds += 1
        return self.milliseconds


Node = tuple[LWWElementSet[str], Roster[str]]


def nodes(*names: str) -> tuple[Node, ...]:
    wall = Wall()
    sets = [LWWElementSet[str](clock=HybridLogicalClock(name, wall)) for name in names]
    return tuple((members, Roster(members, names)) for members in sets)


def exchange(*everybody: Node) -> None:
    """Everyone sends a report and its whole state to everyone else."""
    for sender, roster in everybody:
        report, state = roster.report(), sender.encode()
        for receiver, other in everybody:
            if receiver is not sender:
                other.receive(report, LWWElementSet.decode(state, replica=sender.replica))


def test_a_tombstone_stays_until_every_member_is_known_to_have_passed_it() -> None:
    (a, roster_a), (b, roster_b) = both = nodes("a", "b")
    a.add("ada")
    a.remove("ada")

    assert roster_a.collect() == 0
    assert a.tombstones() == {"ada"}

    exchange(*both)
    exchange(*both)
    assert (roster_a.collect(), roster_b.collect()) == (1, 1)
    assert a.tombstones() == b.tombstones() == frozenset()
    assert a.state_equal(b)
    assert a.digest() == b.digest() or a.floor != b.floor


def test_an_add_that_comes_out_of_a_slow_queue_after_the_collection_is_ignored() -> None:
    (a, roster_a), (b, _) = both = nodes("a", "b")
    slow = a.add("ada")
    a.remove("ada")
    exchange(*both)
    exchange(*both)
    roster_a.collect()

    a.merge(slow)

    assert "ada" not in a
    assert not b


def test_a_later_add_after_the_collection_is_taken() -> None:
    (a, roster_a), (b, _) = both = nodes("a", "b")
    a.remove("ada")
    exchange(*both)
    exchange(*both)
    roster_a.collect()

    a.merge(b.add("ada"))

    assert "ada" in a


def test_members_with_different_floors_merge() -> None:
    (a, roster_a), (b, roster_b) = both = nodes("a", "b")
    a.update(["ada", "bob"])
    a.remove("ada")
    exchange(*both)
    exchange(*both)
    roster_a.collect()

    exchange(*both)
    roster_b.collect()

    assert set(a) == set(b) == {"bob"}
    assert not b.tombstones()


def test_merged_brings_back_nothing_below_the_floor_any_more_than_merge_does() -> None:
    (a, roster_a), (b, _) = everybody = nodes("a", "b")
    a.add("ada")
    a.remove("ada")
    for _ in range(2):
        exchange(*everybody)
    b.add("bob")
    assert roster_a.collect() == 1

    both = merged(a, b)
    a.merge(b)

    assert both.state_equal(a)
    assert both.frozen() == {"bob"}
    assert not both.tombstones()


def test_a_digest_exchange_is_as_good_as_a_whole_state() -> None:
    (a, roster_a), (b, roster_b) = nodes("a", "b")
    a.update([str(number) for number in range(100)])
    a.remove("3")
    for _ in range(2):
        for (mine, my_roster), (theirs, their_roster) in (
            ((a, roster_a), (b, roster_b)),
            ((b, roster_b), (a, roster_a)),
        ):
            report = their_roster.report()
            my_roster.receive(report, theirs.diff(mine.digest()))

    assert roster_b.collect() == roster_a.collect() == 1
    assert a.state_equal(b)


def test_one_silent_member_stalls_the_floor_until_it_is_evicted() -> None:
    (a, roster_a), (b, roster_b), (_, _) = nodes("a", "b", "c")
    a.remove("ada")
    exchange((a, roster_a), (b, roster_b))
    exchange((a, roster_a), (b, roster_b))
    assert roster_a.collect() == 0

    roster_a.evict("c")
    roster_b.evict("c")
    assert roster_a.collect() == 0, "what c wrote last may be with some and not with others"
    exchange((a, roster_a), (b, roster_b))
    exchange((a, roster_a), (b, roster_b))

    assert roster_a.collect() == 1


def test_an_evicted_member_is_refused_reseeded_and_taken_back() -> None:
    (a, roster_a), (b, roster_b), (c, roster_c) = every = nodes("a", "b", "c")
    c.add("ghost")
    exchange(*every)
    a.remove("ghost")
    for roster in (roster_a, roster_b):
        roster.evict("c")
    for _ in range(2):
        exchange((a, roster_a), (b, roster_b))
    assert (roster_a.collect(), roster_b.collect()) == (1, 1)
    stale, recent = roster_c.report(), c.add("recent")

    with pytest.raises(BehindFloorError, match="'c'"):
        roster_a.receive(stale, c)
    with pytest.raises(BehindFloorError):
        a.merge(c)
    with pytest.raises(BehindFloorError, match="Reseed"):
        c.merge(a)
    with pytest.raises(BehindFloorError):
        c.diff(a.digest())
    assert "ghost" not in a

    for roster in (roster_a, roster_b):
        roster.admit("c")
    seed = roster_a.report()
    c.reseed(LWWElementSet.decode(a.encode(), replica="a"))
    every = ((a, roster_a), (b, roster_b), (c, Roster(c, ["a", "b", "c"], seed=seed)))
    exchange(*every)
    exchange(*every)

    assert recent
    assert set(a) == set(b) == set(c) == {"recent"}
    a.remove("recent")
    exchange(*every)
    exchange(*every)
    assert [roster.collect() for _, roster in every] == [1, 1, 1]
    assert a.state_equal(c)


def test_reports_of_another_version_of_the_roster_do_not_count() -> None:
    (a, roster_a), (b, roster_b) = both = nodes("a", "b")
    a.remove("ada")
    roster_a.admit("c")
    roster_a.evict("c")

    exchange(*both)
    exchange(*both)

    assert roster_a.collect() == roster_b.collect() == 0
    assert a.state_equal(b)


def test_a_member_that_had_no_room_for_the_future_has_not_received_everything() -> None:
    (_, roster_a), (b, _) = nodes("a", "b")
    report = Report("b", 0, 1 << 59, {})
    for number in range(10_001):
        b.add(str(number), (1 << 60) - 1)

    roster_a.receive(report, b)
    roster_a.receive(Report("b", 0, 1 << 58, {}), LWWElementSet.decode(nodes("b", "a")[0][0].encode(), replica="b"))

    assert roster_a.report().received.get("b") == 1 << 58


def test_after_a_promise_no_older_stamp_can_be_written() -> None:
    ((a, roster_a),) = nodes("a")
    promise = roster_a.report().promise

    with pytest.raises(StampError, match="promised"):
        a.add("ada", promise)
    a.add("ada")
    stamp = a.stamp_of("ada")
    assert stamp is not None
    assert stamp > promise


def test_collecting_what_waits_in_quarantine_below_the_floor_loses_nothing() -> None:
    (a, _), (b, _) = nodes("a", "b")
    delta = b.add("ada", 9_000_000 << 17)
    a.merge(delta)
    assert a.pending

    a.vouch(9_000_001 << 17)
    a.collect(9_000_001 << 17)

    assert "ada" in a
    assert not a.pending


def test_a_floor_above_what_was_received_is_refused() -> None:
    ((a, _),) = nodes("a")

    with pytest.raises(ValueError, match="received"):
        a.collect(5)
    assert a.collect(MIN_STAMP) == 0


def test_a_roster_without_its_own_replica_is_refused() -> None:
    with pytest.raises(ValueError, match="'a'"):
        Roster(LWWElementSet[str](replica="a"), ["b"])
    with pytest.raises(ValueError, match="itself"):
        nodes("a")[0][1].evict("a")


def test_a_set_without_marks_and_a_set_with_them_do_not_merge() -> None:
    ((a, _),) = nodes("a")
    loose = LWWElementSet[str](replica="loose")

    with pytest.raises(BehindFloorError):
        a.merge(loose)
    with pytest.raises(BehindFloorError):
        loose.merge(a)
    with pytest.raises(ValueError, match="no floor"):
        a.reseed(loose)


def test_reseeding_tells_the_watchers() -> None:
    (a, _), (b, _) = nodes("a", "b")
    a.add("ada", 5)
    b.add("bob", 7)
    b.vouch(6)
    b.collect(6)
    heard = list[tuple[frozenset[str], frozenset[str]]]()
    a.subscribe(lambda added, removed: heard.append((added, removed)))

    assert set(a.reseed(b)) == {"ada", "bob"}
    assert heard == [(frozenset({"bob"}), frozenset({"ada"}))]
    assert a.state_equal(b)


def test_a_restarted_member_writes_nothing_at_or_below_what_it_promised_in_its_life_before() -> None:
    ((a, roster),) = nodes("a")
    report = roster.report()
    again = LWWElementSet[str].decode(a.encode(), clock=HybridLogicalClock("a", lambda: 0))
    Roster(again, ["a"], seed=report)

    with pytest.raises(StampError, match="promised"):
        again.add("ada", report.promise)
    again.add("ada")
    assert (again.stamp_of("ada") or 0) > report.promise
