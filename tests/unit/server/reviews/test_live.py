"""Pushes: numbered without holes, text gathered, the newest kept."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from palaver.chat.effects import Broadcast, Effect, Urgency
from palaver.review.events import Answered, CallFailed, TextArrived
from palaver.review.matrix import Answer
from palaver.server.reviews.live import KEPT, Live

LETTERS = {"ada": "B", "bob": "A"}


class Room:
    """What a room was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.live = Live(self.perform, "lobby", "EVAL-1", LETTERS)

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Broadcast)
            assert effect.urgency is Urgency.TYPING, "never kept for a slow reader"
            self.told.append(msgspec.json.decode(effect.frame))


def text(offset: int, said: str, part: int = 0) -> TextArrived:
    return TextArrived("EVAL-1", "ada", part, offset, said)


async def test_pieces_of_an_answer_are_gathered_into_one_push() -> None:
    room = Room()
    for offset, said in enumerate("stream"):
        room.live.hear(text(offset, said))
    assert room.told == []
    await asyncio.wait_for(room.live.arrived.wait(), 30)
    assert [(push["answer"], push["offset"], push["text"]) for push in room.told] == [("B", 0, "stream")]


async def test_an_answer_that_begins_anew_replaces_what_was_gathered_and_comes_before_it_is_settled() -> None:
    room = Room()
    room.live.hear(text(0, "first try"))
    room.live.hear(text(0, "second"))
    room.live.hear(text(0, "a continuation", part=1))
    room.live.hear(Answered("EVAL-1", Answer("ada", "complete", "second")))
    assert [(push["event"], push.get("text")) for push in room.told] == [("text", "second"), ("answer", None)]
    room.live.close()


async def test_trouble_names_neither_member_nor_provider() -> None:
    room = Room()
    room.live.hear(CallFailed("EVAL-1", "ada", None, "rate_limited", "ada at example.org said no", again=True))
    assert set(room.told[0]) == {"type", "room", "id", "n", "event", "reason"}
    assert room.told[0]["reason"] == "rate_limited"


async def test_the_newest_pushes_are_kept_and_a_hole_is_told() -> None:
    room = Room()
    for _ in range(KEPT + 5):
        room.live.push("state", state="judging")
    assert [push["n"] for push in room.told] == list(range(1, KEPT + 6))
    kept = room.live.since(5)
    assert kept is not None
    assert [number for number, _ in kept] == list(range(6, KEPT + 6))
    assert room.live.since(4) is None, "one of them is gone"
    assert room.live.since(KEPT + 5) == []
    assert room.live.since(KEPT + 6) is None, "it is not of this run"


async def test_an_evaluation_without_a_room_is_followed_all_the_same() -> None:
    told: list[Effect] = []
    live = Live(told.extend, None, "EVAL-1", LETTERS)
    live.push("state", state="judging")
    assert told == []
    assert live.since(0) is not None
