"""The front door over real sockets: who gets in, who is served by HTTP, and who is sent away."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect, unix_connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from palaver.server import app
from palaver.server.app import Address
from palaver.server.bounds import Bounds
from tests.unit.server.serving import ask, hear, serving, until

BOTH_LOOPS = True

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


async def talk(port: int, *parts: bytes) -> bytes:
    """Send parts of a request, one after the other, and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


async def test_an_upgrade_on_the_path_becomes_a_connection() -> None:
    async with serving() as served, served.connect() as client:
        assert await hear(client) == {"type": "hello", "ip": "127.0.0.1"}
        assert await ask(client, type="join", room="lobby") == {"type": "ack", "re": "1"}


async def test_messages_that_follow_the_handshake_at_once_are_not_lost() -> None:
    frame = b"\x81\x9a\x00\x00\x00\x00" + b'{"type":"nothing","id":"2"}'[:26]
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(UPGRADE + b"\r\n" + frame)
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: served.shell.stats.text_in == 1)
        writer.close()


async def test_the_head_may_come_byte_by_byte() -> None:
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for byte in UPGRADE + b"\r\n":
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.close()


async def test_everything_else_is_served_by_http_on_the_same_port() -> None:
    async with serving() as served, aiohttp.ClientSession(f"http://127.0.0.1:{served.port}") as session:
        for _ in range(3):
            assert await (await session.get("/")).text() == "a page"
        body = b"x" * 300_000
        assert await (await session.post("/echo", data=body)).read() == body
        assert served.shell.stats.http_connections == 1


async def test_a_plain_request_to_the_path_is_told_to_upgrade() -> None:
    async with serving() as served:
        answer = await talk(served.port, b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 426 ")
        assert b"Connection: close" in answer


async def used(port: int, *requests: bytes) -> socket.socket:
    """A connection that has served these requests already, as a proxy keeps them."""
    loop, sock = asyncio.get_running_loop(), socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", port))
    for request in requests:
        await loop.sock_sendall(sock, request)
        answer = b""
        while b"a page" not in answer:
            answer += await loop.sock_recv(sock, 65_536)
        assert answer.startswith(b"HTTP/1.1 200 ")
    return sock


@pytest.mark.parametrize(
    "requests",
    [
        [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"] * 3,
        [b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\na page"],
        [b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n6\r\na page\r\n0\r\n\r\n"],
    ],
)
async def test_an_upgrade_on_a_connection_that_served_http_before_becomes_a_connection(requests: list[bytes]) -> None:
    async with serving() as served:
        sock = await used(served.port, *requests)
        before = asyncio.all_tasks()
        async with connect(served.url, sock=sock, compression=None, proxy=None) as client:
            assert await hear(client) == {"type": "hello", "ip": "127.0.0.1"}
            for _ in range(3):
                assert await ask(client, type="join", room="lobby") == {"type": "ack", "re": "1"}
            await until(lambda: not [task for task in asyncio.all_tasks() - before if "aiohttp" in repr(task)])
        await until(lambda: not served.shell.connections)
        assert served.shell.stats.closed == {1000: 1}


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
async def test_a_connection_without_a_whole_request_is_not_kept_for_ever(
    beginning: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "KEEP_ALIVE_SECONDS", 0.05)
    async with serving() as served:
        sock = await used(served.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            await loop.sock_sendall(sock, beginning)
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionResetError):  # the beginning came when it was closed already
                assert await loop.sock_recv(sock, 1) == b""
        sock.close()


async def test_an_upgrade_right_behind_another_request_waits_for_its_answer() -> None:
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + UPGRADE + b"\r\n")
        answer = await reader.readuntil(b"101 Switching Protocols")
        assert answer.index(b"200 OK") < answer.index(b"a page") < answer.index(b"101 Switching")
        writer.close()


async def test_pages_of_another_origin_are_refused_on_such_a_connection_too() -> None:
    async with serving() as served:
        sock = await used(served.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises(InvalidStatus) as refused:
            await connect(served.url, sock=sock, origin=Origin("https://evil.example"), proxy=None)
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"Sec-WebSocket-Version: 8\r\n", b"400"),
        (b"Sec-WebSocket-Key: AAAA\r\n", b"400"),
        (b"Content-Length: 5\r\n", None),
    ],
)
async def test_a_bad_handshake_is_answered_or_closed(line: bytes, status: bytes | None) -> None:
    async with serving() as served:
        answer = await talk(served.port, UPGRADE + line + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 " + status) if status else answer == b""
        assert (b"\r\nSec-WebSocket-Version: 13\r\n" in answer) == (status is not None)
        assert served.shell.stats.refused["handshake"] == 1


async def test_pages_of_another_origin_are_refused_before_the_upgrade() -> None:
    async with serving() as served:
        with pytest.raises(InvalidStatus) as refused:
            await served.connect(origin=Origin("https://evil.example"))
        assert refused.value.response.status_code == 403
        assert b"https://evil.example" in (refused.value.response.body or b"")


async def test_pages_of_our_own_host_and_of_allowed_origins_may_connect() -> None:
    async with serving(Bounds(origins=("https://team.example",))) as served:
        for origin in (f"http://127.0.0.1:{served.port}", "https://team.example"):
            async with served.connect(origin=Origin(origin)) as client:
                await hear(client)


async def test_the_subprotocol_is_agreed_to_where_it_is_offered() -> None:
    async with serving() as served:
        async with served.connect(subprotocols=[Subprotocol("other"), Subprotocol("palaver.v1")]) as client:
            assert client.subprotocol == "palaver.v1"
        async with served.connect() as client:
            assert client.subprotocol is None


async def test_compression_is_never_agreed_to() -> None:
    async with serving() as served, connect(served.url, compression="deflate", proxy=None) as client:
        assert client.protocol.extensions == []


async def test_a_head_that_is_too_large_is_refused() -> None:
    async with serving() as served:
        answer = await talk(served.port, UPGRADE + b"X: " + b"x" * 20_000)
        assert answer.startswith(b"HTTP/1.1 431 ")


async def test_a_head_that_does_not_come_in_time_is_refused() -> None:
    async with serving(Bounds(head_seconds=0.2)) as served:
        assert (await talk(served.port, UPGRADE)).startswith(b"HTTP/1.1 408 ")
        assert (await talk(served.port)).startswith(b"HTTP/1.1 408 ")
        assert served.running.unfinished == 0


async def test_slow_handshakes_cannot_lock_others_out() -> None:
    async with serving(Bounds(unfinished_handshakes=3)) as served:
        slow = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(3)]
        await until(lambda: served.running.unfinished == 3)
        async with served.connect() as client:
            await hear(client)
        assert await asyncio.wait_for(slow[0][0].read(), 30) == b""
        assert served.shell.stats.refused["crowded"] == 1
        assert served.running.unfinished == 2
        for _, writer in slow:
            writer.close()


async def test_a_client_that_leaves_before_its_head_is_whole_leaves_nothing_behind() -> None:
    async with serving() as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(UPGRADE)
        await until(lambda: served.running.unfinished == 1)
        writer.transport.abort()
        await until(lambda: served.running.unfinished == 0)


async def test_only_a_trusted_proxy_is_believed_about_the_address() -> None:
    headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
    async with serving() as served, served.connect(additional_headers=headers) as client:
        assert (await hear(client))["ip"] == "127.0.0.1"
    trusting = Bounds(trusted_proxies=(ip_network("127.0.0.0/8"),))
    async with serving(trusting) as served, served.connect(additional_headers=headers) as client:
        assert (await hear(client))["ip"] == "198.51.100.7"


async def test_a_unix_socket_is_served(tmp_path: Path) -> None:
    path = tmp_path / "palaver.sock"
    headers = {"X-Forwarded-For": "192.0.2.1"}
    client = unix_connect(str(path), "ws://localhost/ws", additional_headers=headers)
    async with serving(address=Address(unix=path)), client as connected:
        assert (await hear(connected))["ip"] == "192.0.2.1"
    assert not path.exists()


async def test_a_socket_left_behind_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "palaver.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    async with serving(address=Address(unix=path)), unix_connect(str(path), "ws://localhost/ws") as connected:
        await hear(connected)
    path.write_text("somebody's notes")
    with pytest.raises(OSError, match=r"in use"):
        async with serving(address=Address(unix=path)):
            pass
    assert path.read_text() == "somebody's notes"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - a certificate is valid by the wall clock
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "certificate.pem"
    path.write_bytes(made.sign(key, SHA256()).public_bytes(Encoding.PEM) + key.private_bytes(*form))
    return path


async def test_tls_is_served_for_sockets_and_pages(certificate: Path) -> None:
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate)
    theirs = ssl.create_default_context(cafile=str(certificate))
    async with serving(address=Address(port=0, tls=ours)) as served:
        url = f"wss://localhost:{served.port}/ws"
        async with connect(url, ssl=theirs, host="127.0.0.1", server_hostname="localhost", proxy=None) as client:
            await hear(client)
            await ask(client, type="close", code=4001)
            await client.wait_closed()
            assert client.close_code == 4001
        async with aiohttp.ClientSession() as session:
            page = await session.get(f"https://127.0.0.1:{served.port}/", ssl=theirs, server_hostname="localhost")
            assert await page.text() == "a page"


async def test_a_violation_over_tls_ends_with_its_code(certificate: Path) -> None:
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate)
    theirs = ssl.create_default_context(cafile=str(certificate))
    async with serving(address=Address(port=0, tls=ours)) as served:
        url = f"wss://localhost:{served.port}/ws"
        async with connect(url, ssl=theirs, host="127.0.0.1", server_hostname="localhost", proxy=None) as client:
            await hear(client)
            await client.send("x" * 200_000)
            await client.wait_closed()
            assert client.close_code == 1009


async def test_a_unix_socket_that_is_served_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "palaver.sock"
    async with serving(address=Address(unix=path)):
        with pytest.raises(OSError, match="another server listens there"):
            async with serving(address=Address(unix=path)):
                pass
        async with unix_connect(str(path), "ws://localhost/ws") as connected:
            assert (await hear(connected))["type"] == "hello"
