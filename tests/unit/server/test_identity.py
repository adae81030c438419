import asyncio
import base64
import json
from collections.abc import Callable, Mapping

import jwt
import pytest
import structlog
from aiohttp import web
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from palaver.chat.identity import Identity, Refusal
from palaver.server.identity import TOKEN_CHARS, Verifier
from palaver.server.jwks import Guard, JwksSource, http_fetch, unguarded
from palaver.server.keys import Key, parse_keys, sign

NOW = 1_000.0
WALL = 1_700_000_000.0
CLAIMS: dict[str, object] = {"sub": "7", "name": "ada", "exp": int(WALL) + 100}
SECRET = parse_keys(b"0123456789abcdef0123456789abcdef")[0]
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def verifier(*keys: Key, issuer: str | None = None, audience: str | None = None) -> Verifier:
    return Verifier(keys, clock=lambda: NOW, wall_clock=lambda: WALL, issuer=issuer, audience=audience)


def code(verdict: object) -> str | None:
    assert isinstance(verdict, Identity | Refusal)
    return verdict.code if isinstance(verdict, Refusal) else None


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())


@pytest.mark.parametrize("key", [SECRET, *(parse_keys(pem(key))[0] for key in (RSA, EC, ED))], ids=repr)
def test_a_token_is_accepted_with_each_kind_of_key(key: Key) -> None:
    verdict = verifier(key)(sign(CLAIMS, key))
    assert isinstance(verdict, Identity)
    assert (verdict.user.id, verdict.user.name) == ("7", "ada")
    assert verdict.expires == NOW + 110.0


def test_a_public_key_cannot_be_used_as_a_secret() -> None:
    public = RSA.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(CLAIMS).encode()).rstrip(b"=")
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(header + b"." + body, public)
    forged = (header + b"." + body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()
    assert code(verifier(*parse_keys(public))(forged)) == "invalid_token"


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_an_algorithm_that_is_not_the_keys_is_refused(algorithm: str) -> None:
    token = jwt.encode(CLAIMS, SECRET.material * 2, algorithm)
    assert code(verifier(SECRET)(token)) == "invalid_token"
    assert code(verifier(SECRET._replace(material=SECRET.material * 2))(token)) == "invalid_token"


def test_a_token_without_a_signature_is_refused() -> None:
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    assert code(verifier(SECRET)(f"{header}.{sign(CLAIMS, SECRET).split('.')[1]}.")) == "invalid_token"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"exp": int(WALL) - 9}, None),
        ({"exp": int(WALL) - 10}, "token_expired"),
        ({"exp": None}, "invalid_token"),
        ({"exp": "soon"}, "invalid_token"),
        ({"nbf": int(WALL) + 60}, "invalid_token"),
        ({"iat": "never"}, None),
        ({"sub": ["7"]}, "invalid_token"),
        ({"sub": 7}, "invalid_token"),
        ({"name": ""}, "invalid_token"),
        ({"aud": "palaver"}, "invalid_token"),
        ({"crit": 1}, None),
    ],
)
def test_claims_decide_after_the_signature(change: dict[str, object], expected: str | None) -> None:
    claims = {name: value for name, value in (CLAIMS | change).items() if value is not None}
    # PyJWT refuses to make some of these, so the body is swapped in by hand.
    assert code(verifier(SECRET)(hand_made(claims))) == expected


def hand_made(claims: Mapping[str, object]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256"}, claims)]
    message = b".".join(parts)
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(message, SECRET.material)
    return (message + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def test_issuer_and_audience_are_demanded_where_they_are_set() -> None:
    strict = verifier(SECRET, issuer="us", audience="palaver")
    assert code(strict(sign(CLAIMS | {"iss": "us", "aud": ["palaver", "x"]}, SECRET))) is None
    assert code(strict(sign(CLAIMS | {"iss": "them", "aud": "palaver"}, SECRET))) == "invalid_token"
    assert code(strict(sign(CLAIMS | {"iss": "us", "aud": "x"}, SECRET))) == "invalid_token"
    assert code(strict(sign(CLAIMS, SECRET))) == "invalid_token"


def test_a_changed_token_is_refused() -> None:
    token = sign(CLAIMS, SECRET)
    head, body, mac = token.split(".")
    other = sign(CLAIMS | {"roles": ["operator"]}, SECRET).split(".")[1]
    for changed in (f"{head}.{other}.{mac}", f"{head}.{body}.{mac[:-2]}", f"{head}.{body}.", f"{head}.{body}"):
        assert code(verifier(SECRET)(changed)) == "invalid_token"


@given(
    st.text(max_size=60) | st.builds(".".join, st.lists(st.text("eyJ0abc_-={}", max_size=20), min_size=3, max_size=3))
)
def test_no_text_raises(token: str) -> None:
    assert code(verifier(SECRET)(token)) == "invalid_token"


def test_a_token_beyond_the_allowed_length_is_refused_unread() -> None:
    verdict = verifier(SECRET)("x" * (TOKEN_CHARS + 1))
    assert isinstance(verdict, Refusal)
    assert str(TOKEN_CHARS) in verdict.message


def test_the_named_key_is_used_and_a_token_without_a_name_is_tried_with_all() -> None:
    one, two = (SECRET._replace(name=name, material=name.encode() * 32) for name in ("one", "two"))
    both = verifier(one, two)
    assert code(both(sign(CLAIMS, two))) is None
    assert code(both(sign(CLAIMS, two._replace(name=None)))) is None
    assert code(both(sign(CLAIMS, two._replace(name="one")))) == "invalid_token"
    assert code(both(sign(CLAIMS, two._replace(name="three")))) == "invalid_token"


# ---- keys from a URL ----


class Keys:
    """A JWKS endpoint that counts, changes and fails as told."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.calls = 0
        self.down = False
        self.gate: asyncio.Event | None = None

    async def fetch(self) -> bytes:
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise OSError("no route to the keys")
        entry = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC.public_key()))
        return json.dumps({"keys": [entry | {"kid": name} for name in self.names]}).encode()


def remote(keys: Keys, clock: Callable[[], float], guard: Guard = unguarded) -> tuple[Verifier, JwksSource]:
    source = JwksSource(keys.fetch, clock=clock, guard=guard)
    return Verifier(source, clock=clock, wall_clock=lambda: WALL), source


def signed_by(name: str | None) -> str:
    return sign(CLAIMS, parse_keys(pem(EC))[0]._replace(name=name))


async def judged(verify: Verifier, token: str) -> str | None:
    verdict = verify(token)
    return code(verdict if isinstance(verdict, Identity | Refusal) else await verdict)


async def test_keys_are_fetched_once_and_then_answer_at_once() -> None:
    keys, clock = Keys("one"), Clock()
    verify, _ = remote(keys, clock)
    assert await judged(verify, signed_by("one")) is None
    assert isinstance(verify(signed_by("one")), Identity)
    assert keys.calls == 1


async def test_many_waiting_users_cost_one_fetch() -> None:
    keys, clock = Keys("one"), Clock()
    keys.gate = asyncio.Event()
    verify, _ = remote(keys, clock)
    waiting = [asyncio.create_task(judged(verify, signed_by("one"))) for _ in range(50)]
    await asyncio.sleep(0)
    keys.gate.set()
    assert await asyncio.gather(*waiting) == [None] * 50
    assert keys.calls == 1


async def test_a_user_who_goes_away_does_not_cancel_the_fetch_for_the_others() -> None:
    keys, clock = Keys("one"), Clock()
    keys.gate = asyncio.Event()
    verify, _ = remote(keys, clock)
    first, second = (asyncio.create_task(judged(verify, signed_by("one"))) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    keys.gate.set()
    assert await second is None
    assert keys.calls == 1


async def test_a_rotated_key_is_found_at_its_first_token() -> None:
    keys, clock = Keys("one"), Clock()
    verify, _ = remote(keys, clock)
    await judged(verify, signed_by("one"))
    keys.names = ("two",)
    clock.now += 10
    assert await judged(verify, signed_by("two")) is None
    assert await judged(verify, signed_by("one")) == "invalid_token"


async def test_unknown_keys_cannot_cause_more_fetches_than_allowed() -> None:
    keys, clock = Keys("one"), Clock()
    verify, _ = remote(keys, clock)
    await judged(verify, signed_by("one"))
    for number in range(100):
        assert await judged(verify, signed_by(f"unknown-{number}")) == "invalid_token"
        clock.now += 0.2
    assert keys.calls <= 3


async def test_a_failed_fetch_is_unavailable_and_is_repeated_after_the_pause() -> None:
    keys, clock = Keys("one"), Clock()
    keys.down = True
    verify, source = remote(keys, clock)
    assert [await judged(verify, signed_by("one")) for _ in range(3)] == ["unavailable"] * 3
    assert (keys.calls, source.failures) == (1, 1)
    keys.down = False
    clock.now += 10
    assert await judged(verify, signed_by("one")) is None


async def test_known_keys_serve_on_while_the_maker_is_away_but_not_for_ever() -> None:
    keys, clock = Keys("one"), Clock()
    verify, _ = remote(keys, clock)
    await judged(verify, signed_by("one"))
    keys.down = True
    clock.now += 301
    assert await judged(verify, signed_by("one")) is None
    assert await judged(verify, signed_by("new")) == "unavailable"
    clock.now += 86_400
    assert await judged(verify, signed_by("one")) == "unavailable"


async def test_the_guard_stands_before_each_fetch() -> None:
    keys, clock = Keys("one"), Clock()

    async def shut(_fetch: object) -> bytes:
        raise ConnectionError("the breaker is open")

    verify, _ = remote(keys, clock, shut)
    assert await judged(verify, signed_by("one")) == "unavailable"
    assert keys.calls == 0


async def test_closing_stops_a_fetch_that_hangs() -> None:
    keys, clock = Keys("one"), Clock()
    keys.gate = asyncio.Event()
    verify, source = remote(keys, clock)
    waiting = asyncio.create_task(judged(verify, signed_by("one")))
    await asyncio.sleep(0)
    await source.close()
    await source.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.fixture
async def site() -> object:
    """A real HTTP server with keys, a redirect, an error and something endless."""
    keys = Keys("one")

    async def good(_request: web.Request) -> web.Response:
        return web.Response(body=await keys.fetch())

    async def moved(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/good")

    async def endless(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1_100_000)

    app = web.Application()
    app.router.add_get("/good", good)
    app.router.add_get("/moved", moved)
    app.router.add_get("/endless", endless)
    runner = web.AppRunner(app)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.mark.parametrize(("path", "expected"), [("good", None), ("moved", "unavailable"), ("endless", "unavailable")])
async def test_keys_come_over_real_http(site: int, path: str, expected: str | None) -> None:
    clock = Clock()
    source = JwksSource(http_fetch(f"http://127.0.0.1:{site}/{path}?apikey=hush"), clock=clock)
    verify = Verifier(source, clock=clock, wall_clock=lambda: WALL)
    with structlog.testing.capture_logs() as logs:
        assert await judged(verify, signed_by("one")) == expected
    assert "hush" not in str(logs)
    assert len(logs) == (0 if expected is None else 1)


def test_nothing_of_a_token_is_in_its_refusal() -> None:
    token = sign(CLAIMS | {"sub": "hush-hush", "exp": 1}, SECRET)
    for text in (token, token + "x", "hush-hush." + token):
        verdict = verifier(SECRET)(text)
        assert isinstance(verdict, Refusal)
        assert "hush" not in verdict.message
        assert token[:20] not in verdict.message
