import json
import stat
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from palaver.server.keys import (
    OPERATOR_KEY,
    KeyFileError,
    operator_key,
    parse_jwks,
    parse_keys,
    read_key_file,
    sign,
    signing_key,
)

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")])
def test_a_pem_key_is_bound_to_the_algorithm_of_its_kind(key: PrivateKey, algorithm: str) -> None:
    (private,) = parse_keys(private_pem(key))
    (public,) = parse_keys(public_pem(key))
    assert (private.algorithm, private.signs) == (algorithm, True)
    assert (public.algorithm, public.signs) == (algorithm, False)


def test_other_bytes_are_a_secret_when_there_are_enough_of_them() -> None:
    (key,) = parse_keys(b"x" * 32 + b"\n")
    assert (key.algorithm, key.material) == ("HS256", b"x" * 32)
    with pytest.raises(KeyFileError, match="at least 32 bytes, not 31"):
        parse_keys(b"x" * 31 + b"\n")


@pytest.mark.parametrize(
    "data",
    [
        private_pem(rsa.generate_private_key(65537, 1024)),
        private_pem(ec.generate_private_key(ec.SECP384R1())),
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        ED.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.BestAvailableEncryption(b"pw")),
        b"{}",
        b"{",
        b'{"keys": []}',
        b'{"keys": [7]}',
        b'{"kty": "oct", "k": "c2hvcnQ"}',
    ],
)
def test_a_key_that_is_weak_strange_or_broken_is_refused(data: bytes) -> None:
    with pytest.raises(KeyFileError):
        parse_keys(data)


def test_a_set_of_keys_keeps_names_and_leaves_out_what_it_cannot_use() -> None:
    entry = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC.public_key()))
    entries = [
        entry | {"kid": "one", "alg": "ES256"},
        entry | {"kid": "wrong algorithm", "alg": "ES512"},
        entry | {"kid": "encryption", "use": "enc"},
        {"kty": "oct", "k": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg", "kid": "two"},
        {"kty": "new"},
    ]
    data = json.dumps({"keys": entries}).encode()
    assert [(key.name, key.algorithm) for key in parse_jwks(data)] == [("one", "ES256"), ("two", "HS256")]
    assert [key.name for key in parse_jwks(data, public_only=True)] == ["one"]


@given(st.binary(max_size=50) | st.builds(lambda x: json.dumps(x).encode(), st.dictionaries(st.text(), st.text())))
def test_no_bytes_raise_anything_but_a_key_error(data: bytes) -> None:
    try:
        keys = parse_keys(data)
    except KeyFileError:
        return
    assert all(key.algorithm for key in keys)


def test_the_operators_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    first = operator_key(tmp_path / "data")
    path = tmp_path / "data" / OPERATOR_KEY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert operator_key(tmp_path / "data") == first
    assert len(first[0].material) >= 32


def test_an_operators_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    operator_key(tmp_path)
    (tmp_path / OPERATOR_KEY).chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        operator_key(tmp_path)


def test_a_link_in_the_place_of_the_operators_key_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / OPERATOR_KEY).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError):
        operator_key(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"none\.pem: No such file"):
        read_key_file(tmp_path / "none.pem")


def test_a_key_in_a_message_or_a_repr_does_not_show_itself(tmp_path: Path) -> None:
    (key,) = operator_key(tmp_path)
    assert key.material.decode() not in repr(key)
    short = tmp_path / "short"
    short.write_text("hush")
    with pytest.raises(KeyFileError) as caught:
        read_key_file(short)
    assert "hush" not in str(caught.value)


def test_tokens_are_made_with_private_keys_only() -> None:
    key = signing_key(parse_keys(private_pem(ED)))
    assert jwt.decode(sign({"sub": "7"}, key), ED.public_key(), algorithms=["EdDSA"]) == {"sub": "7"}
    with pytest.raises(KeyFileError, match="private"):
        signing_key(parse_keys(public_pem(ED)))


def test_the_operators_key_in_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match="Cannot make"):
        operator_key(tmp_path / "file" / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
