"""The heap of timers against a plain dict."""

from hypothesis import given
from hypothesis import strategies as st

from palaver.chat.timers import Timers

_keys = st.sampled_from("abcdef")
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), _keys, st.integers(0, 50)),
        st.tuples(st.just("set_if_unset"), _keys, st.integers(0, 50)),
        st.tuples(st.just("set_at_latest"), _keys, st.integers(0, 50)),
        st.tuples(st.just("cancel"), _keys, st.just(0)),
        st.tuples(st.just("due"), st.just(""), st.integers(0, 50)),
    ),
    max_size=200,
)


@given(_steps)
def test_timers_do_what_a_dict_of_deadlines_would(steps: list[tuple[str, str, int]]) -> None:
    timers, model = Timers(), dict[str, float]()
    for what, key, when in steps:
        if what == "set":
            timers.set(key, when)
            model[key] = when
        elif what == "set_if_unset":
            timers.set_if_unset(key, when)
            model.setdefault(key, when)
        elif what == "set_at_latest":
            timers.set_at_latest(key, when)
            model[key] = min(when, model.get(key, when))
        elif what == "cancel":
            timers.cancel(key)
            model.pop(key, None)
        else:
            expected = sorted(one for one, time in model.items() if time <= when)
            assert sorted(str(one) for one in timers.due(when)) == expected
            model = {one: time for one, time in model.items() if time > when}
        assert timers.next() == min(model.values(), default=None)
        assert len(timers) == len(model)
        assert {one for one in "abcdef" if timers.is_set(one)} == model.keys()


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.set(number, 1_000.0 + number)
        timers.cancel(number)

    assert len(timers._heap) < 200


def test_keys_that_were_all_cancelled_are_let_go_without_another_timer_being_set() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.set(number, 1_000.0 + number)
    for number in range(10_000):
        timers.cancel(number)
    assert len(timers._heap) < 200
