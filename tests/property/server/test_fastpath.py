"""The fast path against the ordinary way: whatever happens, everybody gets the same and all kept is the same."""

import asyncio
import random

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from websockets.frames import Opcode

from palaver.chat.settings import ChatSettings
from palaver.server import fastpath
from palaver.server.bounds import Bounds
from tests.property.server.mutation import Mutator
from tests.property.server.test_inbound import frame
from tests.property.server.twins import TOKENS, Twins, encode

pytestmark = pytest.mark.skipif(not fastpath.COMPILED, reason="there is no C compiler or no Python.h here")

ROOMS = ("a", "b", "c", "ü")
WHERE = (("a", "b"), ROOMS, ROOMS, ("a",), ("a",), ("b",))  # who is in which rooms at first

_who = st.integers(0, len(WHERE) - 1)
_room = st.sampled_from(ROOMS)
_plain_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=200)
_odd_text = st.sampled_from(
    ["", " ", "\x7f", "/ask", "/leave me", "é", "👩‍🚀", "\u200b", "a\nb", 'say "hi"', "back\\slash", "x" * 300, "\x00"]
)
_id = st.one_of(
    st.just("1"), st.text(max_size=4), st.sampled_from(["x" * 64, "x" * 65, "é" * 64, 'a"b', "", "c1", "c2"])
)
_answered = st.tuples(st.just("answer"), st.integers(1, 8), st.integers(0, 9).map(lambda chance: chance == 0))
_plain = st.tuples(st.just("say"), _who, _room, _plain_text, st.just("2"), st.none())
_usual = st.one_of(
    _answered,
    st.tuples(st.just("say"), _who, _room, st.text(max_size=60), _id, st.none() | _id),
    st.tuples(st.just("say"), _who, _room, _odd_text, st.just("3"), st.none()),
    st.tuples(st.just("say"), _who, _room, st.sampled_from([" ", "/ask", "x" * 300]), st.just("4"), st.none()),
    st.tuples(st.just("say"), _who, _room, _plain_text, st.just("3"), st.sampled_from(["c1", "c2"])),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.0005, 0.01, 0.2, 0.5, 1.0])),
    st.tuples(st.just("turn")),
    st.tuples(st.just("settle")),
    st.tuples(st.just("ask"), _who, _room, st.sampled_from(["typing", "history", "join"])),
    st.tuples(st.just("ask"), _who, st.just("elsewhere"), st.just("history")),
    st.tuples(st.just("written otherwise"), _who, _room, st.integers(0, 9)),
)
_rare = st.one_of(
    st.tuples(st.just("in pieces"), _who, _room, st.integers(1, 90)),
    st.tuples(st.just("together"), _who, _room, st.integers(2, 4)),
    st.tuples(st.just("damaged"), _who, st.integers(0, 10**6)),
    st.tuples(st.just("ask"), _who, _room, st.sampled_from(["leave", "ping", "pong"])),
    st.tuples(st.just("decide"), _room, st.sampled_from(["mute", "slow", "unmute"])),
    st.tuples(st.just("beat")),
    st.tuples(st.just("tick")),
    st.tuples(st.just("congest"), _who),
    st.tuples(st.just("drain"), _who),
    st.tuples(st.just("gone"), _who),
)
all_steps = st.lists(  # half of them plain
    st.integers(0, 19).flatmap(lambda chance: _rare if chance == 19 else _usual if chance > 9 else _plain),
    min_size=20,
    max_size=80,
)
all_settings = st.builds(
    ChatSettings,
    messages=st.sampled_from([None, 2, 5, 100_000]),
    room_messages_per_second=st.sampled_from([None, 3, 100, 100_000]),
    frames_per_second=st.sampled_from([None, 4, 50, 100_000]),
    text_chars=st.sampled_from([5, 4_000]),
    history=st.sampled_from([1, 100]),
    ip_connects_per_second=st.none(),
    ip_unauthenticated_frames_per_second=st.none(),
    malformed_budget=st.just(10_000),
)
all_bounds = st.builds(
    Bounds,
    frames_per_second=st.sampled_from([None, 2.0, 100_000.0]),
    frame_bytes=st.sampled_from([64, 65_536]),
    slice_members=st.sampled_from([2, 500]),
)


def otherwise(room: str, style: int) -> bytes:
    """The same message, written in another way."""
    quoted = msgspec.json.encode(room).decode()
    return (
        (
            '{"room":%s,"text":"t","id":"1","type":"send"}',
            ' { "type" : "send" , "id" : "1" , "room" : %s , "text" : "t" } ',
            '\n{"type":"send","id":"1","room":%s,"text":"t","cid":null}\t',
            '{"type":"send","id":"1","room":%s,"text":"\\u0041"}',
            '{"type":"send","id":"1","room":%s,"text":"t","text":"u"}',
            '{"type":"send","id":"1","room":%s,"text":"t","cid":null,"cid":"c1"}',
            '{"type":"send","id":"1","room":%s,"text":"t","more":"m"}',
            '{"type":"send","id":1,"room":%s,"text":"t"}',
            '{"type":"send","id":"1","room":%s,"text":"t"}}',
            '{"type":"send","id":"1","room":%s,"text":"t",}',
        )[style]
        .replace("%s", quoted)
        .encode()
    )


class Story:
    """What a list of steps does to both servers."""

    def __init__(self, twins: Twins) -> None:
        self._twins = twins

    async def begin(self) -> None:
        """Everybody comes, and most are in some rooms."""
        twins = self._twins
        for who, rooms in enumerate(WHERE):
            twins.open()
            known = {"token": list(TOKENS)[who]} if who < len(TOKENS) else {"name": f"guést {who}"}
            twins.say(who, encode(type="auth", id="a", **known))
            for room in rooms:
                twins.say(who, encode(type="join", id="j", room=room))
                twins.say(who, encode(type="send", id="s", room=room, text="I am here."))
                twins.clock.now += 0.6
            await twins.settle()
        twins.clock.now += 2.0
        twins.check()

    async def step(self, kind: str, *given: object) -> None:
        await getattr(self, f"_{kind.replace(' ', '_')}")(*given)
        self._twins.check()

    async def _say(self, who: int, room: str, text: str, re: str, cid: str | None) -> None:
        try:
            self._twins.say(who, encode(type="send", id=re, room=room, text=text, **({"cid": cid} if cid else {})))
        except UnicodeEncodeError:
            pass  # half a surrogate pair is no JSON

    async def _written_otherwise(self, who: int, room: str, style: int) -> None:
        self._twins.say(who, otherwise(room, style))

    async def _in_pieces(self, who: int, room: str, cut: int) -> None:
        data = frame(Opcode.TEXT, otherwise(room, 0))
        self._twins.hear(who, data[:cut])
        if data[cut:]:
            self._twins.hear(who, data[cut:])

    async def _together(self, who: int, room: str, count: int) -> None:
        self._twins.hear(who, frame(Opcode.TEXT, otherwise(room, 0)) * count)

    async def _damaged(self, who: int, seed: int) -> None:
        self._twins.hear(who, Mutator(random.Random(seed), "d").frames())

    async def _ask(self, who: int, room: str, kind: str) -> None:
        named = {} if kind in ("ping", "pong") else {"room": room}
        self._twins.say(who, encode(type=kind, **({} if kind == "pong" else {"id": "q"}), **named))

    async def _decide(self, room: str, kind: str) -> None:
        about: dict[str, object] = {"seconds": 0.5} if kind == "slow" else {"user": "narrow"}
        self._twins.say(0, encode(type=kind, id="d", room=room, **about))

    async def _wait(self, seconds: float) -> None:
        self._twins.clock.now += seconds

    async def _beat(self) -> None:
        """Everybody is asked for a sign of life."""
        self._twins.clock.now += 26.0
        await self._tick()

    async def _tick(self) -> None:
        for side in self._twins.sides:
            side.shell._tell(side.engine.tick, self._twins.clock())
            side.shell.fanout.lagging.check(self._twins.clock())

    async def _turn(self) -> None:
        await self._twins.turn()

    async def _answer(self, count: int, fails: bool) -> None:
        self._twins.answer(count, fails=fails)

    async def _settle(self) -> None:
        await self._twins.settle()

    async def _congest(self, who: int) -> None:
        for side in self._twins.sides:
            connection = side.connections[who]
            if connection in side.shell.connections and not connection.congested:
                connection.pause_writing()

    async def _drain(self, who: int) -> None:
        for side in self._twins.sides:
            connection = side.connections[who]
            if connection in side.shell.connections and connection.congested:
                connection.resume_writing()

    async def _gone(self, who: int) -> None:
        for side in self._twins.sides:
            if side.connections[who] in side.shell.connections:
                side.connections[who].connection_lost(None)


async def tell(chat: ChatSettings, bounds: Bounds, steps: list[tuple[object, ...]]) -> int:
    """Do all steps, compare after each, and return how many messages were plain."""
    twins = Twins(chat, bounds)
    story = Story(twins)
    try:
        await story.begin()
        for kind, *given in steps:
            await story.step(str(kind), *given)
        await twins.settle()
        twins.check()
    finally:
        twins.close()
        await twins.turn()
    return twins.fast.shell.stats.fast_in


@given(all_settings, all_bounds, all_steps)
@settings(max_examples=400, deadline=None)
def test_whatever_happens_both_ways_do_the_same(
    chat: ChatSettings, bounds: Bounds, steps: list[tuple[object, ...]]
) -> None:
    event(f"plain messages: {min(asyncio.run(tell(chat, bounds, steps)), 5)}")


@pytest.mark.nightly
@pytest.mark.timeout(1_800)
@given(all_settings, all_bounds, all_steps)
@settings(max_examples=50_000, deadline=None)
def test_whatever_happens_for_long_both_ways_do_the_same(
    chat: ChatSettings, bounds: Bounds, steps: list[tuple[object, ...]]
) -> None:
    asyncio.run(tell(chat, bounds, steps))
