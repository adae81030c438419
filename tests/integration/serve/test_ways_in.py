"""The ways to a server: TLS, a Unix socket, tokens that expire, keys from a URL, proxies, other web pages."""

import asyncio
import datetime as dt
import json
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from palaver.server.keys import operator_key, sign
from tests.integration.serve.process import Server, palaver, serving

KEY = ec.generate_private_key(ec.SECP256R1())


def private_pem() -> bytes:
    return KEY.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())


def write_certificate(directory: Path) -> None:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "palaver test")])
    now = dt.datetime.fromtimestamp(time.time(), dt.UTC)  # noqa: TID251 - certificates have dates
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(KEY, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(ser.Encoding.PEM))
    (directory / "key.pem").write_bytes(private_pem())


async def ask(client: ClientConnection, **request: Any) -> Any:
    """Send one request and wait for its answer; pushes in between are passed over."""
    await client.send(json.dumps(request))
    while True:
        frame = json.loads(await client.recv())
        if frame.get("re") == request["id"]:
            return frame


def socket_url(server: Server) -> str:
    return server.url.replace("http", "ws", 1) + "/ws"


def token(*arguments: str, cwd: Path) -> str:
    """A token made by the command line."""
    made = palaver("token", "--name", "ada", *arguments, cwd=cwd)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


async def upgraded(session: aiohttp.ClientSession, url: str, **options: Any) -> None:
    """Upgrade on the connection that the session has kept from an earlier request, as a proxy does."""
    assert session.connector is not None
    kept = [transport for pool in session.connector._conns.values() for transport, _ in pool]
    assert len(kept) == 1
    async with session.ws_connect(url, **options) as client:
        assert (await client.receive_json())["type"] == "hello"
        assert not session.connector._conns, "the kept connection is the one in use"


async def test_tls_serves_the_page_and_the_socket(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    files = ("--tls-certificate", "cert.pem", "--tls-key", "key.pem")
    with serving("--store", "memory", *files, cwd=tmp_path) as server:
        assert server.url.startswith("https://127.0.0.1:")
        async with aiohttp.ClientSession() as session:
            async with session.get(server.url + "/health/ready", ssl=trust) as response:
                assert response.status == 200
            await upgraded(session, socket_url(server), ssl=trust)
        async with connect(socket_url(server), ssl=trust, proxy=None) as client:
            await client.recv()
            assert (await ask(client, type="auth", id="1", name="ada"))["type"] == "ack"


async def test_a_unix_socket_serves_both_and_is_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "palaver.sock"
    with serving("--store", "memory", "--unix-socket", str(path), cwd=tmp_path) as server:
        assert server.url == f"unix:{path}"
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
            async with session.get("http://palaver/health/ready") as response:
                assert response.status == 200
            await upgraded(session, "ws://palaver/ws")
        async with unix_connect(str(path), "ws://palaver/ws") as client:
            await client.recv()
            assert (await ask(client, type="auth", id="1", name="ada"))["type"] == "ack"
        assert await asyncio.to_thread(server.end) == 0
    assert not path.exists()


async def test_where_tokens_are_demanded_a_guest_is_refused_and_a_token_is_the_user(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(private_pem())
    flags = ("--store", "memory", "--auth", "token", "--token-key", "key.pem", "--host", "127.0.0.1")
    with serving(*flags, cwd=tmp_path) as server:
        good = token("--user", "7", "--room", "team-*", "--token-key", "key.pem", cwd=tmp_path)
        async with connect(socket_url(server), proxy=None) as client:
            assert json.loads(await client.recv())["auth"] == "token"
            assert (await ask(client, type="auth", id="1", name="ada"))["code"] == "unauthenticated"
            assert (await ask(client, type="auth", id="2", token=good + "x"))["code"] == "invalid_token"
            assert (await ask(client, type="auth", id="3", token=good))["user"] == {"id": "7", "name": "ada"}
            assert (await ask(client, type="join", id="4", room="lobby"))["code"] == "forbidden"
            assert (await ask(client, type="join", id="5", room="team-a"))["type"] == "ack"
        assert not (tmp_path / "palaver-data").exists()


async def test_a_token_that_expires_is_warned_about_renewed_in_band_and_then_ends_the_connection(
    tmp_path: Path,
) -> None:
    flags = ("--store", "memory", "--token-leeway", "0", "--expiry-warning", "60")
    with serving(*flags, cwd=tmp_path) as server:
        async with connect(socket_url(server), proxy=None) as client:
            await client.recv()
            key = operator_key(tmp_path / "palaver-data")[0]

            def made(seconds: int, user: str = "ada") -> str:
                now = int(time.time())  # noqa: TID251 - tokens have dates
                return sign({"sub": user, "name": "ada", "exp": now + seconds}, key)

            assert (await ask(client, type="auth", id="1", token=made(50)))["expires"] > 0
            warned = json.loads(await client.recv())
            assert (warned["type"], warned["code"]) == ("notice", "token_expiring")
            other = made(50, "somebody-else")
            assert (await ask(client, type="auth", id="2", token=other))["code"] == "forbidden"
            assert (await ask(client, type="auth", id="3", token=made(3)))["type"] == "ack"
            with pytest.raises(ConnectionClosed):
                async with asyncio.timeout(30):
                    await drained(client)
            assert client.close_code == 4301


async def drained(client: ClientConnection) -> None:
    """Read until the connection ends."""
    while True:
        await client.recv()


class Jwks(BaseHTTPRequestHandler):
    """Serves the public key."""

    def do_GET(self) -> None:
        entry = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "one", "alg": "ES256"}
        body = json.dumps({"keys": [entry]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@pytest.fixture
def jwks_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Jwks) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/jwks?apikey=hush"
        server.shutdown()
        thread.join()


async def test_keys_come_from_a_url_and_their_absence_is_not_the_users_fault(tmp_path: Path, jwks_url: str) -> None:
    claims = {"sub": "7", "name": "ada", "exp": int(time.time()) + 60}  # noqa: TID251 - tokens have dates
    good = jwt.encode(claims, KEY, "ES256", {"kid": "one"})
    for url, expected in [(jwks_url, None), ("http://127.0.0.1:9/jwks?apikey=hush", "unavailable")]:
        with serving("--store", "memory", "--auth", "token", "--token-jwks-url", url, cwd=tmp_path) as server:
            async with connect(socket_url(server), proxy=None) as client:
                await client.recv()
                assert (await ask(client, type="auth", id="1", token=good)).get("code") == expected
            async with (
                aiohttp.ClientSession(server.url, headers={"Authorization": f"Bearer {good}"}) as session,
                session.get("/api/rooms") as response,
            ):
                assert response.status == (200 if expected is None else 503)
            assert "hush" not in server.log


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("http://127.0.0.1:{port}", 101),
        ("http://evil.example", 403),
        ("https://chat.example.org", 101),
        ("null", 403),
    ],
)
async def test_web_pages_of_strangers_may_not_connect(tmp_path: Path, origin: str | None, status: int) -> None:
    with serving("--store", "memory", "--origin", "https://chat.example.org", cwd=tmp_path) as server:
        found = 101
        try:
            async with connect(socket_url(server), proxy=None, additional_headers=_origin(origin, server)) as client:
                await client.recv()
        except InvalidStatus as refused:
            found = refused.response.status_code
        assert found == status


def _origin(origin: str | None, server: Server) -> dict[str, str]:
    return {} if origin is None else {"Origin": origin.format(port=server.url.rpartition(":")[2])}


async def test_a_name_that_a_stranger_lets_lead_here_is_not_our_host(tmp_path: Path) -> None:
    """DNS rebinding: to its browser the stranger's page is a page of this server."""
    with serving("--store", "memory", cwd=tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        url = f"ws://rebound.example:{port}/ws"
        headers = {"Origin": f"http://rebound.example:{port}"}
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, host="127.0.0.1", port=port, proxy=None, additional_headers=headers)
        assert refused.value.response.status_code == 403


async def test_addresses_behind_a_trusted_proxy_are_told_apart(tmp_path: Path) -> None:
    flags = ("--store", "memory", "--trusted-proxy", "127.0.0.1", "--ip-connects-per-second", "1")
    with serving(*flags, cwd=tmp_path) as server:

        async def first(address: str) -> str:
            headers = {"X-Forwarded-For": address}
            async with connect(socket_url(server), proxy=None, additional_headers=headers) as client:
                return str(json.loads(await client.recv())["type"])

        kinds = [await first("203.0.113.1") for _ in range(15)]
        assert "error" in kinds
        assert await first("203.0.113.2") == "hello"
