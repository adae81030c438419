"""The whole core against a plain model, under any order of events, commits, failures, disconnects and restarts.

What must hold whatever happens: what was acknowledged is stored once, in one order for everybody; a client that
follows the protocol (resume with `since` and `sent`, repeat with `cid`) has every message exactly once; nobody is
accepted more often than the limit allows; a room sees each user join and leave alternately.
"""

from collections import defaultdict
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from palaver.chat.settings import ChatSettings
from tests.sim.world import ModelLog, Peer, World

_NAMES = ("ada", "bob", "cyd")
_ROOMS = ("lobby", "attic")
_SETTINGS = ChatSettings(
    messages=3, heartbeat_interval_seconds=25.0, ip_connects_per_second=None, frames_per_second=None, history=8
)


class Client:
    """A client that follows the protocol: remembers its position, its session and what is not acknowledged."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.session: str | None = None
        self.peer: Peer | None = None
        self.read = 0  # how much of the peer's inbox was looked at
        self.position: dict[str, tuple[str, int]] = {}
        self.seen: dict[str, list[tuple[str, int, str]]] = defaultdict(list)  # room -> (epoch, seq, text)
        self.lost: set[tuple[str, int]] = set()  # (room, seq) that the server said are gone
        self.unacknowledged: dict[str, tuple[str, str]] = {}  # cid -> (room, text)
        self.requests: dict[str, tuple[str, str]] = {}  # request id -> (kind, room or cid)


class ChatMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log = ModelLog()
        self.world = World(_SETTINGS, log=self.log)
        self.clients = {name: Client(name) for name in _NAMES}
        self.count = 0
        self.acknowledged: dict[str, tuple[str, int]] = {}  # text -> (room, seq)
        self.accepted: dict[str, list[float]] = defaultdict(list)

    @initialize()
    def everybody_is_there(self) -> None:
        for name in _NAMES:
            self.connect(name)
            for room in _ROOMS:
                self._join(self.clients[name], room)
        self.world.commit()
        self.read()

    # ---- what can happen ----

    @rule(name=st.sampled_from(_NAMES))
    def connect(self, name: str) -> None:
        client = self.clients[name]
        if client.peer is not None and client.peer.is_open:
            return
        peer = self.world.connect()
        fields = {} if client.session is None else {"session": client.session}
        ack = peer.ask("auth", name=name, **fields)
        assert ack["type"] == "ack", ack
        client.session, client.peer, client.read, client.requests = ack["session"], peer, 0, {}
        peer.user = ack["user"]["id"]
        for room in client.position:
            self._join(client, room)

    @rule(name=st.sampled_from(_NAMES), room=st.sampled_from(_ROOMS))
    def join(self, name: str, room: str) -> None:
        client = self.clients[name]
        if client.peer is not None and client.peer.is_open:
            self._join(client, room)

    @rule(name=st.sampled_from(_NAMES), room=st.sampled_from(_ROOMS), repeat=st.booleans())
    def send(self, name: str, room: str, repeat: bool) -> None:
        client = self.clients[name]
        if client.peer is None or not client.peer.is_open or room not in client.peer.rooms:
            return
        again = [(cid, text) for cid, (where, text) in client.unacknowledged.items() if where == room]
        if repeat and again:
            cid, text = again[0]
        else:
            self.count += 1
            cid, text = f"c-{self.count}", f"text {self.count}"
            client.unacknowledged[cid] = (room, text)
        re = client.peer.say("send", room=room, text=text, cid=cid)
        client.requests[re] = ("send", cid)

    @rule(name=st.sampled_from(_NAMES), room=st.sampled_from(_ROOMS), count=st.integers(2, 5), commit=st.booleans())
    def burst(self, name: str, room: str, count: int, commit: bool) -> None:
        for _ in range(count):
            self.send(name, room, repeat=False)
        if commit:
            self.world.commit()
            self.read()

    @rule(name=st.sampled_from(_NAMES))
    def vanish(self, name: str) -> None:
        client = self.clients[name]
        if client.peer is not None and client.peer.is_open:
            client.peer.disconnect()
            client.peer = None  # what was sent to it and not read yet is lost, as on a real network

    @rule(jobs=st.integers(1, 4), fail=st.sampled_from([False, False, False, True]))
    def commit(self, jobs: int, fail: bool) -> None:
        if self.log.queue:
            self.world.commit(jobs, fail=fail)

    @rule(seconds=st.sampled_from([0.05, 0.3, 0.85, 1.0, 11.0]))
    def wait(self, seconds: float) -> None:
        for client in self.clients.values():
            if client.peer is not None and client.peer.is_open:
                client.peer.send_raw(b'{"type":"pong"}')
        self.world.advance(seconds)

    @rule()
    def read(self) -> None:
        for client in self.clients.values():
            self._read(client)

    @precondition(lambda self: self.count > 3)
    @rule()
    def kill_and_restart(self) -> None:
        self.log.queue.clear()  # what was not committed is gone with the process
        now = self.world.now + 1.0  # starting takes longer than the window of the rate limit
        self.world = World(_SETTINGS, log=self.log)
        self.world.now = now
        for client in self.clients.values():
            client.peer = None

    # ---- what must hold ----

    @invariant()
    def what_was_acknowledged_is_stored_once(self) -> None:
        texts = [message.text for room in self.log.rooms.values() for message in room]
        assert len(texts) == len(set(texts))
        for text, (room, seq) in self.acknowledged.items():
            assert self.log.rooms[room][seq - 1].text == text

    @invariant()
    def everybody_sees_the_same_order_and_nothing_twice(self) -> None:
        for client in self.clients.values():
            for room, seen in client.seen.items():
                seqs = [seq for _, seq, _ in seen]
                assert seqs == sorted(set(seqs))
                for _, seq, text in seen:
                    assert self.log.rooms[room][seq - 1].text == text
                missing = set(range(1, (seqs[-1] if seqs else 0) + 1)) - set(seqs)
                assert missing <= {seq for where, seq in client.lost if where == room}

    @invariant()
    def nobody_is_over_the_limit(self) -> None:
        for times in map(sorted, self.accepted.values()):
            for index in range(len(times) - 3):
                assert times[index + 3] - times[index] >= 0.999  # wall times are whole milliseconds

    @invariant()
    def members_are_those_with_a_connection_or_within_grace(self) -> None:
        for room in self.world.engine.state.rooms.values():
            for member in room.members.values():
                assert bool(member.sessions) != (member.leaves_at is not None)

    def teardown(self) -> None:
        """In the end everybody comes back and has everything, and then leaves nothing behind."""
        self.world.commit()
        self.world.advance(2.0)
        for name in _NAMES:
            self.connect(name)
            for room in self.clients[name].position:
                self._join(self.clients[name], room)  # once more: an earlier join may have found the store away
            self.world.commit()
            self._read(self.clients[name])
        for client in self.clients.values():
            for room in client.position:
                seqs = {seq for _, seq, _ in client.seen[room]} | {seq for where, seq in client.lost if where == room}
                assert seqs == set(range(1, len(self.log.rooms.get(room, [])) + 1))
            if client.peer is not None:
                client.peer.disconnect()
        self.world.commit()
        self.world.advance(30.0)
        state = self.world.engine.state
        assert not state.sessions
        assert not state.rooms
        assert len(state.people) == 0

    # ---- what a client does ----

    def _join(self, client: Client, room: str) -> None:
        assert client.peer is not None
        fields: dict[str, Any] = {}
        if room in client.position:
            epoch, seq = client.position[room]
            fields["since"] = {"epoch": epoch, "seq": seq}
        sent = [cid for cid, (where, _) in client.unacknowledged.items() if where == room]
        if sent:
            fields["sent"] = sent
        re = client.peer.say("join", room=room, **fields)
        client.requests[re] = ("join", room)

    def _read(self, client: Client) -> None:
        if client.peer is None:
            return
        frames, client.read = client.peer.inbox[client.read :], len(client.peer.inbox)
        for frame in frames:
            if frame["type"] == "message":
                self._take(client, frame)
            elif frame["type"] in {"ack", "error"} and frame["re"] in client.requests:
                kind, about = client.requests.pop(frame["re"])
                if kind == "join" and frame["type"] == "ack":
                    self._joined(client, frame)
                elif kind == "send" and frame["type"] == "ack":
                    room, text = client.unacknowledged.pop(about, (frame["room"], ""))
                    if text:
                        self.acknowledged[text] = (room, frame["seq"])
                    if not frame["duplicate"]:
                        self.accepted[client.name].append(frame["time"] / 1000)

    def _joined(self, client: Client, frame: dict[str, Any]) -> None:
        room = frame["room"]
        before = client.position.get(room)
        if gap := frame.get("gap"):
            assert gap["reason"] == "retention"
            assert gap["to"] == frame["seq"] - _SETTINGS.history  # all that is kept was given
            client.lost.update((room, seq) for seq in range(gap["from"], gap["to"] + 1))
        elif before is None and frame["messages"]:
            client.lost.update((room, seq) for seq in range(1, frame["messages"][0]["seq"]))
        elif before is None:
            client.lost.update((room, seq) for seq in range(1, frame["seq"] + 1))
        for message in frame["messages"]:
            self._take(client, message)
        client.position[room] = (frame["epoch"], max(frame["seq"], client.position.get(room, ("", 0))[1]))
        for cid, fate in frame.get("sent", {}).items():
            if fate is not None and cid in client.unacknowledged:
                where, text = client.unacknowledged.pop(cid)
                self.acknowledged[text] = (where, fate["seq"])

    def _take(self, client: Client, message: dict[str, Any]) -> None:
        room, seq = message["room"], message["seq"]
        if client.seen[room] and client.seen[room][-1][1] >= seq:
            return  # asked for again with an older `since`; a client drops what it has
        client.seen[room].append((message["epoch"], seq, message["text"]))
        client.position[room] = (message["epoch"], seq)


TestChat = ChatMachine.TestCase
TestChat.settings = settings(max_examples=200, stateful_step_count=80)
