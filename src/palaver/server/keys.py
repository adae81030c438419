"""Keys that tokens are verified and made with: read from PEM, JWK, JWKS or plain bytes, each bound to one algorithm.

Refuses to do: take an algorithm from a token. Invariant: a key's algorithm follows from the key alone (RFC 8725,
section 3.1), so a public key can never be used as an HMAC secret. No key is ever part of an exception's text.

    KeyFileError   a key cannot be read or used; the text says why and what to do
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]
SECRET_BYTES = 32  # RFC 7518, section 3.2: at least as long as the hash
RSA_BITS = 2_048  # RFC 7518, section 3.3
FILE_BYTES = 1_048_576
OPERATOR_KEY = "operator.key"


class KeyFileError(Exception):
    """A key cannot be used."""


class Key(NamedTuple):
    """One key. `signs` says whether tokens can be made with it; `name` is the `kid` it is known by, if any."""

    algorithm: Algorithm
    material: Any  # bytes, or a key object of the cryptography package
    signs: bool
    name: str | None = None

    def __repr__(self) -> str:
        return f"<Key {self.algorithm} {self.name or ''}>"


def read_key_file(path: Path) -> tuple[Key, ...]:
    """Read a PEM, JWK or JWKS file; a file of another form is a secret for HS256. Raises KeyFileError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"Cannot read the key {path}: {error.strerror}.") from None
    if len(data) > FILE_BYTES:
        raise KeyFileError(f"{path} is larger than a key can be.")
    try:
        return parse_keys(data)
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}") from None


def parse_keys(data: bytes) -> tuple[Key, ...]:
    """Read keys in any of the forms above. Raises KeyFileError."""
    data = data.strip()
    if data.startswith(b"-----BEGIN "):
        return (_from_pem(data),)
    if data.startswith(b"{"):
        return parse_jwks(data)
    if len(data) < SECRET_BYTES:
        raise KeyFileError(
            f"a secret for HS256 needs at least {SECRET_BYTES} bytes, not {len(data)}. "
            "Make one with: head -c 48 /dev/urandom | base64 > FILE"
        )
    return (Key("HS256", data, signs=True),)


def parse_jwks(data: bytes, *, public_only: bool = False) -> tuple[Key, ...]:
    """Read a JWK or a JWKS (RFC 7517); keys of other kinds or for encryption are left out.

    With `public_only` symmetric keys are left out too: a secret that is served to everybody is none.
    Raises KeyFileError where no usable key is left.
    """
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise KeyFileError("this is not JSON.") from None
    entries = document.get("keys", [document]) if isinstance(document, dict) else []
    found = [key for entry in entries if isinstance(entry, dict) and (key := _from_jwk(entry)) is not None]
    keys = tuple(key for key in found if not (public_only and key.algorithm == "HS256"))
    if not keys:
        raise KeyFileError("there is no RSA, P-256, Ed25519 or (in a file) symmetric signature key in it.")
    return keys


def operator_key(directory: Path) -> tuple[Key, ...]:
    """The data directory's own HS256 key, made with mode 0600 when it is missing. Raises KeyFileError."""
    path = directory / OPERATOR_KEY
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return _owned(path)
    except OSError as error:
        raise KeyFileError(f"Cannot make the operator's key {path}: {error.strerror}.") from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(48) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return read_key_file(path)


def signing_key(keys: Sequence[Key]) -> Key:
    """The first key that tokens can be made with. Raises KeyFileError."""
    for key in keys:
        if key.signs:
            return key
    raise KeyFileError("These are public keys: they verify tokens and cannot make them. Give the private key's file.")


def _owned(path: Path) -> tuple[Key, ...]:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise KeyFileError(f"Cannot read the key {path}: {error.strerror}.") from None
    if mode & 0o077:
        raise KeyFileError(f"Others may read {path}: {oct(mode & 0o777)}. Say: chmod 600 {path}, or delete the file.")
    return read_key_file(path)


def _from_pem(data: bytes) -> Key:
    material: object
    try:
        if b"PRIVATE KEY-----" in data:
            material = serialization.load_pem_private_key(data, password=None)
        else:
            material = serialization.load_pem_public_key(data)
    except (ValueError, TypeError):
        raise KeyFileError(
            "this is no PEM key, or an encrypted one. Give an unencrypted private or public key."
        ) from None
    return _bind(material, None)


def _from_jwk(entry: dict[str, Any]) -> Key | None:
    """None for a key that is not for signatures of the algorithms we know."""
    if entry.get("use", "sig") != "sig" or entry.get("kty") not in {"RSA", "EC", "OKP", "oct"}:
        return None
    name = entry.get("kid") if isinstance(entry.get("kid"), str) else None
    # The key's own `alg` is left out of the decision on its kind, and then has to agree with it.
    bare = {field: value for field, value in entry.items() if field != "alg"}
    try:
        key = _bind(jwt.PyJWK.from_dict(bare).key, name)
    except (jwt.PyJWTError, KeyFileError, ValueError, TypeError):
        return None
    return key if entry.get("alg", key.algorithm) == key.algorithm else None


def _bind(material: object, name: str | None) -> Key:
    match material:
        case bytes() if len(material) >= SECRET_BYTES:
            return Key("HS256", material, signs=True, name=name)
        case rsa.RSAPrivateKey() | rsa.RSAPublicKey() if material.key_size >= RSA_BITS:
            return Key("RS256", material, isinstance(material, rsa.RSAPrivateKey), name)
        case ec.EllipticCurvePrivateKey() | ec.EllipticCurvePublicKey() if isinstance(material.curve, ec.SECP256R1):
            return Key("ES256", material, isinstance(material, ec.EllipticCurvePrivateKey), name)
        case ed25519.Ed25519PrivateKey() | ed25519.Ed25519PublicKey():
            return Key("EdDSA", material, isinstance(material, ed25519.Ed25519PrivateKey), name)
    raise KeyFileError(f"use an RSA key of at least {RSA_BITS} bits, a P-256 key or an Ed25519 key.")


def sign(claims: Mapping[str, object], key: Key) -> str:
    """Make a token of these claims with a key that signs."""
    assert key.signs, "signing_key finds one that does"
    return jwt.encode(dict(claims), key.material, key.algorithm, {"kid": key.name} if key.name else None)


def public_part(key: Key) -> Any:  # noqa: ANN401 - the keys of the cryptography package share no type
    """What signatures are checked against: the secret itself for HS256, otherwise the public key."""
    return key.material.public_key() if key.signs and key.algorithm != "HS256" else key.material
