"""The short way through the handshake against the library: what it reads, the library accepts, and answers alike."""

from hypothesis import event, given, settings
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol

from palaver.server import handshake
from palaver.server.door import SUBPROTOCOL, _select_subprotocol

PLAIN = (
    (b"Host", b"localhost:8000"),
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
)
_names = st.sampled_from([name for name, _ in PLAIN] + [b"Origin", b"Cookie", b"X-Forwarded-For", b"Content-Length"])
_values = st.sampled_from(
    [
        *(
            b"",
            b" ",
            b"websocket",
            b"WebSocket",
            b"h2c",
            b"Upgrade",
            b"keep-alive, Upgrade",
            b"close",
            b"13",
            b"8",
            b"0",
        ),
        *(b"AAAAAAAAAAAAAAAAAAAAAA==", b"AAAAAAAAAAAAAAAAAAAAAB==", b"AAAA", b"caf\xc3\xa9", b"a b", b"a\tb"),
    ]
)
_protocols = st.lists(st.sampled_from([b"palaver.v1", b"chat", b"a,b", b"", b"x y"]), max_size=3).map(b", ".join)
_changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 5), st.tuples(_names, _values)),
        st.tuples(st.just("put"), st.integers(0, 4), st.tuples(_names, _values)),
        st.tuples(st.just("case"), st.integers(0, 4), st.tuples(_names, _values)),
        st.tuples(st.just("drop"), st.integers(0, 4), st.tuples(_names, _values)),
        st.tuples(st.just("add"), st.integers(0, 5), st.tuples(st.just(b"Sec-WebSocket-Protocol"), _protocols)),
    ),
    max_size=3,
)


def head_of(changes: list[tuple[str, int, tuple[bytes, bytes]]]) -> bytes:
    headers = list(PLAIN)
    for kind, place, (name, value) in changes:
        if kind == "add":
            headers.insert(place, (name, value))
        elif place < len(headers):
            known = headers.pop(place)
            if kind != "drop":
                headers.insert(place, (known[0], value) if kind == "put" else (known[0].upper(), known[1]))
    return b"GET /ws HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n"


def by_the_library(head: bytes) -> tuple[Request | None, bytes]:
    library = ServerProtocol(subprotocols=[SUBPROTOCOL], select_subprotocol=_select_subprotocol, max_size=None)
    library.receive_data(head)
    request = next(iter(library.events_received()), None)
    if not isinstance(request, Request):
        return None, b""
    library.send_response(library.accept(request))
    return request, b"".join(library.data_to_send())


def check(head: bytes) -> bool:
    """Whether the head was read the short way; then the library must agree."""
    plain = handshake.read(head)
    if plain is None:
        return False
    request, answer = by_the_library(head)
    assert request is not None
    accepted = plain.accepted(SUBPROTOCOL if SUBPROTOCOL in plain.protocols else None)
    dateless = [line for line in answer.split(b"\r\n") if not line.startswith(b"Date: ")]
    assert accepted.split(b"\r\n") == dateless
    assert [plain.host] == request.headers.get_all("Host")
    assert ([] if plain.origin is None else [plain.origin]) == request.headers.get_all("Origin")
    assert list(plain.forwarded) == request.headers.get_all("X-Forwarded-For")
    return True


@given(_changes)
@settings(max_examples=400, deadline=None)
def test_what_is_read_the_short_way_the_library_answers_alike(
    changes: list[tuple[str, int, tuple[bytes, bytes]]],
) -> None:
    event("short" if check(head_of(changes)) else "with care")


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_no_byte_that_is_changed_makes_a_head_good_that_the_library_refuses(data: st.DataObject) -> None:
    head = bytearray(head_of([("add", 3, (b"Sec-WebSocket-Protocol", b"chat, palaver.v1"))]))
    for _ in range(data.draw(st.integers(1, 2))):
        head[data.draw(st.integers(0, len(head) - 5))] = data.draw(st.integers(0, 255))
    check(bytes(head))


def test_what_clients_send_is_read_the_short_way() -> None:
    assert check(head_of([]))
    browser = [
        ("add", 1, (b"Origin", b"http://localhost:8000")),
        ("add", 1, (b"User-Agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")),
        ("add", 1, (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits")),
        ("add", 1, (b"Sec-WebSocket-Protocol", b"palaver.v1")),
        ("put", 6, (b"Connection", b"keep-alive, Upgrade")),
    ]
    assert check(head_of(browser))


def test_more_than_the_library_takes_is_left_to_it() -> None:
    assert handshake.read(head_of([("add", 0, (b"X-%d" % number, b"")) for number in range(101)])) is None
    assert handshake.read(head_of([("add", 0, (b"Cookie", b"x" * 8_192))])) is None


def test_two_origins_are_left_to_the_library() -> None:
    assert handshake.read(head_of([("add", 0, (b"Origin", b"")), ("add", 0, (b"Origin", b""))])) is None
