"""Replicas of one set over a bad network: what any of them shows is the definition applied to what it has heard of.

Messages are lost, doubled, late and out of order; wall clocks jump; links are cut; tombstones are collected under a
roster; members are evicted, reseeded and restarted from their bytes. In the end everybody talks to everybody again,
and then all are equal, nothing that was written is missing, nothing that was removed is back, no tombstone is left.
"""

from datetime import timedelta
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from palaver.crdt import (
    BehindFloorError,
    Bias,
    Cursor,
    Delta,
    HybridLogicalClock,
    LWWElementSet,
    Report,
    Roster,
    StampError,
    decode_delta,
)
from palaver.crdt.order import BIASES, stamp_in
from tests.property.crdt.specification import Update, apply, specified, updates_in

pytestmark = pytest.mark.usefixtures("joining")

NAMES = ("a", "b", "c")
START_MS = 1_000_000
DRIFT = timedelta(seconds=60)
NODES = st.sampled_from(NAMES)
ELEMENTS = st.sampled_from(["ada", "bob", "cy"])


class Message(NamedTuple):
    """Bytes on their way, with a report if they are a whole state."""

    sender: str
    receiver: str
    data: bytes
    report: Report | None


class Node:
    """A replica, its roster, its wall clock, and what it has heard of."""

    def __init__(self, name: str, bias: Bias) -> None:
        self.name = name
        self.wall = START_MS
        self.members = LWWElementSet[str](bias=bias, clock=self.clock(-1))
        self.roster = Roster(self.members, NAMES)
        self.cursor: Cursor | None = self.members.cursor()
        # What arrived, and what of it has ever been out of quarantine.
        self.heard: set[Update] = set()
        self.known: set[Update] = set()

    def clock(self, latest: int) -> HybridLogicalClock:
        return HybridLogicalClock(self.name, lambda: self.wall, max_drift=DRIFT, latest=latest)

    @property
    def waiting(self) -> set[Update]:
        bit = BIASES.index(self.members.bias)
        return {Update(name, bool(cell % 2), stamp_in(cell, bit)) for name, cell in self.members._quarantine}

    def settle(self) -> None:
        self.known |= self.heard - self.waiting


class Replicas(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.nodes: dict[str, Node] = {}
        self.flying: list[Message] = []
        self.cut: set[frozenset[str]] = set()
        self.gone: set[str] = set()
        self.written: set[Update] = set()

    @initialize(bias=st.sampled_from(BIASES), skews=st.lists(st.integers(-90_000, 90_000), min_size=3, max_size=3))
    def start(self, bias: Bias, skews: list[int]) -> None:
        self.nodes = {name: Node(name, bias) for name in NAMES}
        for node, skew in zip(self.nodes.values(), skews, strict=True):
            node.wall += skew

    # Writing

    @rule(name=NODES, element=ELEMENTS, is_add=st.booleans())
    def write(self, name: str, element: str, is_add: bool) -> None:
        node = self.nodes[name]
        delta = (node.members.add if is_add else node.members.remove)(element)
        assert node.members.lookup(element) is is_add, "a local write takes effect"
        self.note(node, delta)

    @rule(name=NODES, element=ELEMENTS, is_add=st.booleans(), beyond=st.integers(-1, 2), whose=NODES)
    def write_with_a_stamp(self, name: str, element: str, is_add: bool, beyond: int, whose: str) -> None:
        """Near what somebody promised, so that ties abound."""
        node = self.nodes[name]
        stamp = self.nodes[whose].members._promised + beyond
        if stamp <= node.members._promised:
            with pytest.raises(StampError):
                apply(node.members, Update(element, is_add, stamp))
        else:
            self.note(node, apply(node.members, Update(element, is_add, stamp)))

    def note(self, node: Node, delta: Delta[str]) -> None:
        updates = updates_in(delta)
        self.written |= updates
        node.heard |= updates
        node.settle()
        for other in NAMES:
            self.send(node, other, delta.encode(), None)

    # Clocks and links

    @rule(name=NODES, milliseconds=st.integers(-120_000, 120_000))
    def jump(self, name: str, milliseconds: int) -> None:
        self.nodes[name].wall = max(0, self.nodes[name].wall + milliseconds)

    @rule(name=NODES)
    def admit_from_quarantine(self, name: str) -> None:
        node = self.nodes[name]
        node.members.admit()
        node.settle()
        assert all(update.stamp > node.members.clock.limit() for update in node.waiting)

    @rule(one=NODES, other=NODES)
    def cut_or_mend(self, one: str, other: str) -> None:
        self.cut ^= {frozenset({one, other})}

    # Messages

    def send(self, sender: Node, receiver: str, data: bytes, report: Report | None) -> None:
        if receiver != sender.name and not {sender.name, receiver} & self.gone:
            self.flying.append(Message(sender.name, receiver, data, report))

    @rule(name=NODES, other=NODES)
    def send_what_changed(self, name: str, other: str) -> None:
        node = self.nodes[name]
        self.send(node, other, node.members.delta_since(node.cursor).encode(), None)
        node.cursor = node.members.cursor()

    @rule(name=NODES, other=NODES)
    def send_everything(self, name: str, other: str) -> None:
        node = self.nodes[name]
        report = node.roster.report()
        node.settle()
        self.send(node, other, node.members.encode(), report)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), keep=st.booleans(), lose=st.integers(0, 3))
    def deliver(self, data: st.DataObject, keep: bool, lose: int) -> None:
        """Any message, not the oldest; it may stay on its way as a duplicate, or be lost."""
        at = data.draw(st.integers(0, len(self.flying) - 1))
        message = self.flying[at] if keep else self.flying.pop(at)
        if lose == 0 or frozenset({message.sender, message.receiver}) in self.cut:
            return
        self.receive(message)

    def receive(self, message: Message) -> None:
        node = self.nodes[message.receiver]
        if message.report is None:
            delta = decode_delta(message.data)
            node.members.merge(delta, source=message.sender)
        else:
            state = LWWElementSet[str].decode(message.data, replica=message.sender)
            delta = state.delta_since(None)
            refused = None
            try:
                node.roster.receive(message.report, state)
            except BehindFloorError as error:
                refused = error.member
            if refused is not None:
                # Late states of before a collection are refused as a whole; their sender is not behind by now.
                assert refused == message.sender, "a listed member never falls behind the floor"
                return
        node.heard |= updates_in(delta)
        node.settle()

    @rule(one=NODES, other=NODES)
    def reconcile(self, one: str, other: str) -> None:
        if one != other and not {one, other} & self.gone and frozenset({one, other}) not in self.cut:
            self.compare(self.nodes[one], self.nodes[other])

    def compare(self, asking: Node, answering: Node) -> None:
        report = answering.roster.report()
        answering.settle()
        delta = answering.members.diff(asking.members.digest(16))
        asking.roster.receive(report, delta)
        asking.heard |= updates_in(delta)
        asking.settle()

    # Tombstones and membership

    @rule(name=NODES)
    def collect(self, name: str) -> None:
        node = self.nodes[name]
        if name not in self.gone:
            node.roster.collect()
            node.settle()

    @precondition(lambda self: not self.gone)
    @rule(name=NODES)
    def evict(self, name: str) -> None:
        """Its messages are merged no more, and it hears nothing."""
        self.gone = {name}
        self.flying = [message for message in self.flying if name not in (message.sender, message.receiver)]
        for other in self.rest():
            other.roster.evict(name)

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        (name,) = self.gone
        self.bring_back(self.nodes[name], self.nodes[data.draw(st.sampled_from([n.name for n in self.rest()]))])

    def bring_back(self, node: Node, seed: Node) -> None:
        for other in self.rest():
            other.roster.admit(node.name)
        report = seed.roster.report()
        seed.settle()
        snapshot = LWWElementSet[str].decode(seed.members.encode(), replica=seed.name)
        node.members.reseed(snapshot)
        node.roster = Roster(node.members, NAMES, seed=report)
        floor = snapshot.floor
        assert floor is not None
        lost = {update for update in node.heard if update.stamp <= floor}
        node.heard = (node.heard - lost) | seed.known
        node.known = (node.known - lost) | seed.known
        node.settle()
        # What only it had heard of, at or below the floor, is lost to an eviction, and to nothing else.
        self.gone = set()
        self.written -= lost - set().union(*(other.heard for other in self.nodes.values()))

    @rule(name=NODES)
    def restart(self, name: str) -> None:
        """Whatever is in memory only is gone; the state, the last report and the clock were stored."""
        node = self.nodes[name]
        if name in self.gone or node.waiting:
            return
        report = node.roster.report()
        node.settle()
        data, latest = node.members.encode(), node.members.clock.latest
        node.members = LWWElementSet[str].decode(data, replica=name, clock=node.clock(latest))
        node.roster = Roster(node.members, NAMES if not self.gone else [n.name for n in self.rest()], seed=report)
        node.cursor = None
        assert node.members.encode() == data

    def rest(self) -> list[Node]:
        return [node for name, node in self.nodes.items() if name not in self.gone]

    # What always holds

    @invariant()
    def each_shows_the_definition_of_what_it_knows(self) -> None:
        for node in self.nodes.values():
            assert node.members.frozen() == specified(node.known, node.members.bias), node.name
            assert not node.members._live.keys() & node.members._dead.keys()
            assert all(node.members.explain(element).present for element in node.members)

    @invariant()
    def nothing_that_was_vouched_for_waits_in_quarantine(self) -> None:
        for node in self.nodes.values():
            received = node.members._received
            assert received is not None
            assert all(update.stamp > received for update in node.waiting)

    def teardown(self) -> None:
        """Mend everything; then all agree, on what was written, without a tombstone."""
        if not self.nodes:
            return
        self.cut.clear()
        if self.gone:
            (name,) = self.gone
            self.bring_back(self.nodes[name], self.rest()[0])
        later = max(node.wall for node in self.nodes.values()) + 10_000_000
        for node in self.nodes.values():
            node.wall = later
        for _ in range(3):
            for one in NAMES:
                for other in NAMES:
                    if one != other:
                        self.compare(self.nodes[one], self.nodes[other])
        a, b, c = (node.members for node in self.nodes.values())
        assert a.frozen() == b.frozen() == c.frozen() == specified(self.written, a.bias)
        for node in self.nodes.values():
            node.roster.collect()
            assert not node.members.tombstones()
            assert node.members.frozen() == specified(self.written, a.bias)
        # Not before: who has collected more than others lacks tombstones that they still have.
        assert a.state_equal(b)
        assert b.state_equal(c)
        for message in self.flying:
            if message.report is None:
                self.receive(message)
        assert all(node.members.frozen() == specified(self.written, a.bias) for node in self.nodes.values())


def test_replicas() -> None:
    run_state_machine_as_test(Replicas, settings=settings(max_examples=200, stateful_step_count=40))


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
def test_replicas_for_long() -> None:
    run_state_machine_as_test(Replicas, settings=settings(max_examples=20_000, stateful_step_count=80))
