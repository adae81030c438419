"""The client's laws, under any schedule of faults: nothing is lost, doubled or reordered, and every gap is true."""

from collections import Counter, defaultdict
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from palaver.client.errors import Refused, Unknown
from palaver.client.events import Deleted, Gap, Link, Message, Presence, Stored, Typing
from tests.property.client_world import Client, World

ROOMS = ("red", "blue")
SEEDS = st.integers(0, 2**32 - 1)

# How often what happens. Schedules come from a seed, so that they are deep: a fault matters only in the middle
# of a conversation, and drawing each step by itself hardly ever gets there.
WEIGHTS = {
    "post": 26, "bad": 2, "step": 30, "all": 8, "read": 10, "lose": 7, "kill": 3, "away": 1, "back": 3,
    "sick": 2, "wait": 6, "typing": 2,
}  # fmt: skip
Step = tuple[str, int, object]


def schedule(seed: int, *, forgets: bool = False) -> list[Step]:
    """Eighty steps."""
    dice = Random(seed)
    weights = {**WEIGHTS, **({"forget": 4} if forgets else {})}
    steps: list[Step] = []
    for action in dice.choices(list(weights), weights=list(weights.values()), k=80):
        details: dict[str, object] = {
            "step": (dice.randrange(4), dice.randrange(6)),
            "lose": dice.choice([None, 1006, 4102, 4108, 4201]),
            "sick": dice.randrange(1, 4),
            "wait": dice.choice([0.05, 0.3, 1.0, 5.0, 40.0]),
        }
        steps.append((action, dice.randrange(3), details.get(action, dice.choice(ROOMS))))
    return steps


def run(world: World, steps: list[Step]) -> None:
    for client in world.clients:
        for room in ROOMS:
            world.join(client, room)
    for _ in range(4):
        for client in world.clients:
            world.step(client, up=9, down=9)
    for action, index, detail in steps:
        client = world.clients[index]
        match action:
            case "post" | "bad":
                world.post(client, str(detail), f"{action} {index} {len(client.posted)}")
            case "step":
                assert isinstance(detail, tuple)
                world.step(client, up=detail[0], down=detail[1])
            case "all":
                for each in world.clients:
                    world.step(each, up=9, down=99)
            case "read":
                client.drain(str(detail), 3)
            case "lose":
                world.lose(client, detail if isinstance(detail, int) else None)
            case "kill" | "forget":
                world.kill(forget=action == "forget")
            case "away":
                world.server.up = False
                world.kill(forget=False)
            case "back":
                world.server.up = True
            case "sick":
                assert isinstance(detail, int)
                world.server.down_for = detail
            case "wait":
                assert isinstance(detail, float)
                world.advance(detail)
            case "typing":
                client.core.typing(str(detail), world.now)
                client.perform()
        for each in world.clients:
            for reading in each.readings.values():
                assert len(reading.inbox) <= 5 + 1, "the inbox is bounded: its capacity and one gap"
    world.quiesce()


def check_fates(world: World) -> None:
    """Each message ended exactly once, and what was said about it is true."""
    stored = Counter(message["cid"] for message in world.server.everything)
    for client in world.clients:
        assert all(len(outcomes) == 1 for outcomes in client.outcomes.values())
        for room, cid in client.posted:
            (outcome,) = client.outcomes[cid]
            assert stored[cid] <= 1, "stored twice"
            match outcome:
                case Stored(where, same, seq, epoch):
                    assert (where, same) == (room, cid)
                    (message,) = [m for m in world.server.everything if m["cid"] == cid]
                    assert (message["seq"], message["epoch"]) == (seq, epoch)
                case Refused():
                    assert stored[cid] == 0, "refused, and yet stored"
                case Unknown():
                    assert world.server.life > 1, "a server that remembers leaves no doubt"


def check_streams(world: World) -> None:
    """What was read is, in each epoch, one run of consecutive numbers; gaps cover only what was pruned."""
    for client in world.clients:
        for room in ROOMS:
            check_stream(world, client, room)


def check_stream(world: World, client: Client, room: str) -> None:
    truth = {(m["epoch"], m["seq"]): m["mid"] for m in world.server.everything if m["room"] == room}
    last: int | None = None
    epoch: str | None = None
    for event in client.read[room]:
        match event:
            case Gap(_, first, upto, "epoch"):
                assert first == 1
                last, epoch = max(0, upto), None
            case Gap(_, first, upto, _):
                assert last is None or first == last + 1, "a gap begins where the stream ended"
                assert first <= upto
                last = upto
                assert epoch is None or all((room, epoch, seq) in world.server.pruned for seq in range(first, upto + 1))
            case Message(seq=seq, epoch=this):
                assert epoch in {None, this}, "an epoch changes only at a gap"
                assert last is None or seq == last + 1, "messages follow each other without hole or repetition"
                assert (this, seq) in truth
                last, epoch = seq, this
            case Typing() | Presence() | Deleted():
                pass


def check_order(world: World) -> None:
    """A sender's messages stand in a room in the order they were posted."""
    for client in world.clients:
        places: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for room, cid in client.posted:
            if isinstance(outcome := client.outcomes[cid][0], Stored):
                places[room].append((outcome.epoch, outcome.seq))
        for mine in places.values():
            assert mine == sorted(mine)


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.sampled_from([None, 2]))
def test_any_faults_on_a_server_that_remembers_leave_nothing_lost_doubled_or_in_doubt(
    seed: int, limit: int | None
) -> None:
    world = World(clients=3, keep=6, limit=limit, inbox=5)
    run(world, schedule(seed))
    check_fates(world)
    check_streams(world)
    check_order(world)


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_a_server_that_forgets_makes_gaps_and_doubt_but_never_a_lie(seed: int) -> None:
    world = World(clients=3, keep=6, limit=2, inbox=5)
    run(world, schedule(seed, forgets=True))
    check_fates(world)
    check_streams(world)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4))
def test_a_user_with_one_connection_is_never_refused_for_the_rate(count: int, limit: int) -> None:
    world = World(clients=1, keep=50, limit=limit, inbox=50)
    (client,) = world.clients
    world.join(client, "red")
    for index in range(count):
        world.post(client, "red", f"m{index}")
    world.quiesce()
    assert world.server.refusals["rate_limited"] == 0
    assert all(isinstance(client.outcomes[cid][0], Stored) for _, cid in client.posted)


def test_a_connection_that_falls_silent_is_replaced_after_interval_and_timeout() -> None:
    world = World(clients=1, keep=5, limit=None, inbox=5)
    (client,) = world.clients
    world.step(client, up=0, down=9)
    world.step(client, up=9, down=9)
    assert client.core.state is Link.READY
    world.advance(34.9)
    assert client.core.state is Link.READY
    world.advance(0.2)
    assert client.core.state.value == "waiting"
