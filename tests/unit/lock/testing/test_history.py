"""The checkers say yes to what a lock may do, and no to each thing it may not."""

from hypothesis import given
from hypothesis import strategies as st

from palaver.lock.testing import (
    Hold,
    Operation,
    check_fences,
    check_fifo,
    check_intervals,
    check_no_write_lost,
    is_linearizable,
)
from palaver.lock.testing.history import check_applied_fences
from palaver.lock.testing.linearizable import Kind


def hold(worker: str, fence: int, acquired: float, ended: float, asked: float | None = None) -> Hold:
    return Hold(worker, fence, acquired if asked is None else asked, acquired, ended)


def test_holds_one_after_the_other_are_fine() -> None:
    assert check_intervals([hold("b", 2, 1.0, 2.0), hold("a", 1, 0.0, 1.0)]) == []


def test_an_overlap_is_found_even_behind_a_shorter_hold() -> None:
    wrong = check_intervals([hold("a", 1, 0.0, 9.0), hold("b", 2, 1.0, 2.0), hold("c", 3, 5.0, 6.0)])
    assert wrong == ["a and b held it together for 8000.000 ms", "a and c held it together for 4000.000 ms"]


def test_a_fence_given_twice_is_found() -> None:
    assert check_fences([hold("a", 1, 0.0, 1.0), hold("b", 1, 2.0, 3.0)])


def test_a_fence_that_goes_back_is_found() -> None:
    assert check_fences([hold("a", 5, 0.0, 1.0), hold("b", 4, 2.0, 3.0)])


def test_a_grant_whose_reply_came_late_is_no_fault() -> None:
    """It was asked for before the greater one was granted, so the server may have answered in order."""
    assert check_fences([hold("a", 5, 1.0, 2.0), hold("b", 4, 3.0, 4.0, asked=0.5)]) == []


def test_a_stale_write_in_the_storage_is_found() -> None:
    assert check_applied_fences([1, 1, 3, 3]) == []
    assert check_applied_fences([1, 3, 2]) == ["fence 2 was applied after 3"]


def test_a_lost_update_is_found() -> None:
    assert check_no_write_lost({"a": 2, "b": 1}, {"a": 2, "b": 1}) == []
    assert check_no_write_lost({"a": 2}, {"a": 1, "b": 1}) == [
        "a: 2 writes were acknowledged, 1 are there",
        "b: 0 writes were acknowledged, 1 are there",
    ]


def test_the_order_of_the_queue_is_checked_and_the_dead_are_left_out() -> None:
    assert check_fifo("abc", "abc") == []
    assert check_fifo("abc", "ac", dead="b") == []
    assert check_fifo("abc", "acb")


def operations(*rows: tuple[str, Kind, float, float | None, bool]) -> list[Operation]:
    return [Operation(*row) for row in rows]


def test_a_lock_handed_on_is_linearizable() -> None:
    assert is_linearizable(
        operations(
            ("a", Kind.ACQUIRE, 0, 1, True),
            ("b", Kind.ACQUIRE, 0, 4, True),
            ("a", Kind.RELEASE, 2, 3, True),
            ("b", Kind.RELEASE, 5, 6, True),
        )
    )


def test_two_that_both_hold_are_not_linearizable() -> None:
    assert not is_linearizable(operations(("a", Kind.ACQUIRE, 0, 1, True), ("b", Kind.ACQUIRE, 2, 3, True)))


def test_a_false_alarm_at_release_is_not_linearizable() -> None:
    assert not is_linearizable(operations(("a", Kind.ACQUIRE, 0, 1, True), ("a", Kind.RELEASE, 2, 3, False)))


def test_an_answer_that_never_came_may_or_may_not_have_happened() -> None:
    lost_acquire = ("a", Kind.ACQUIRE, 0.0, None, True)
    assert is_linearizable(operations(lost_acquire, ("b", Kind.ACQUIRE, 2, 3, True)))
    assert is_linearizable(operations(lost_acquire, ("b", Kind.ACQUIRE, 2, 3, False)))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.integers(1, 10)), max_size=6))
def test_the_interval_checker_and_the_search_agree(rows: list[tuple[str, int, int]]) -> None:
    """Holds known from both ends: no overlap exactly when some order of acquires and releases explains them."""
    holds = [hold(f"{name}{n}", n, start * 2.0, start * 2.0 + length) for n, (name, start, length) in enumerate(rows)]
    history = []
    for one in holds:
        history.append(Operation(one.worker, Kind.ACQUIRE, one.acquired, one.acquired))
        history.append(Operation(one.worker, Kind.RELEASE, one.ended, one.ended))
    touching = len({one.acquired for one in holds} | {one.ended for one in holds}) < 2 * len(holds)
    if not touching:
        assert is_linearizable(history) is (check_intervals(holds) == [])
