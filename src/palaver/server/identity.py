"""Verifies tokens: signature here, claims in palaver.chat.identity.

Refuses to do: trust anything in a token before its signature is verified, but for the `kid` and `alg` that pick the
key; name a token or a claim in a log line. Invariants: the algorithm is the key's, never the token's; `exp` is
required; whatever bytes come in, the answer is a verdict, not an exception.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import jwt

from palaver.chat.identity import Refusal, identity_from_claims
from palaver.server.jwks import JwksSource, KeysUnavailableError
from palaver.server.keys import Key, public_part
from palaver.server.verification import Verdict

TOKEN_CHARS = 8_192

_OPTIONS: Any = {
    "require": ["exp", "sub", "name"],
    # Times are checked in palaver.chat.identity, with the injected clock.
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}
_NO_KEY = Refusal("invalid_token", "The token's key is not known here.")
_UNAVAILABLE = Refusal("unavailable", "The keys for tokens cannot be fetched now. Try again soon.")


class Verifier:
    """Turns a token into a verdict: at once with known keys, as an awaitable where keys have to be fetched first."""

    def __init__(
        self,
        keys: Sequence[Key] | JwksSource,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        issuer: str | None = None,
        audience: str | None = None,
        leeway_seconds: float = 10.0,
    ) -> None:
        """`clock` gives monotonic seconds, `wall_clock` Unix seconds. Without `audience`, tokens with `aud` fail."""
        self._keys = keys
        self._clock, self._wall_clock = clock, wall_clock
        self._issuer, self._audience = issuer, audience
        self._leeway_seconds = leeway_seconds

    def __call__(self, token: str) -> Verdict | Awaitable[Verdict]:
        """Verify a token. Cancelling the awaitable leaves a fetch for others running."""
        header = _header(token)
        if isinstance(header, Refusal):
            return header
        keys = self._keys
        if not isinstance(keys, JwksSource):
            return self._verify(token, header, keys)
        known = keys.fresh(header.get("kid"))
        return self._fetch_and_verify(token, header, keys) if known is None else self._verify(token, header, known)

    async def _fetch_and_verify(self, token: str, header: dict[str, Any], source: JwksSource) -> Verdict:
        try:
            keys = await source.fetched(header.get("kid"))
        except KeysUnavailableError:
            return _UNAVAILABLE
        return self._verify(token, header, keys)

    def _verify(self, token: str, header: dict[str, Any], keys: Sequence[Key]) -> Verdict:
        candidates = _candidates(header, keys)
        if not candidates:
            return _NO_KEY
        refusal = _NO_KEY
        for key in candidates:
            claims = self._claims(token, key)
            if not isinstance(claims, Refusal):
                now = self._clock()
                wall = self._wall_clock() - now
                return identity_from_claims(claims, now=now, wall=wall, leeway_seconds=self._leeway_seconds)
            refusal = claims
        return refusal

    def _claims(self, token: str, key: Key) -> dict[str, Any] | Refusal:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                public_part(key),
                algorithms=[key.algorithm],
                options=_OPTIONS,
                issuer=self._issuer,
                audience=self._audience,
            )
        except jwt.InvalidSignatureError:
            return Refusal("invalid_token", "The token's signature is wrong.")
        except jwt.MissingRequiredClaimError as error:
            return Refusal("invalid_token", f"The token has no claim {error.claim}.")
        except (jwt.InvalidIssuerError, jwt.InvalidAudienceError):
            return Refusal("invalid_token", "The token is for another service.")
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):  # what hostile JSON can bring about in there
            return Refusal("invalid_token", "The token is malformed.")
        return claims


def _header(token: str) -> dict[str, Any] | Refusal:
    if len(token) > TOKEN_CHARS:
        return Refusal("invalid_token", f"The token has more than {TOKEN_CHARS} characters.")
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return Refusal("invalid_token", "The token is malformed.")


def _candidates(header: dict[str, Any], keys: Sequence[Key]) -> list[Key]:
    """The keys that may have signed this token: named by `kid`, or of its algorithm where nothing is named."""
    algorithm, name = header.get("alg"), header.get("kid")
    fitting = [key for key in keys if key.algorithm == algorithm]
    named = [key for key in fitting if key.name is not None and key.name == name]
    return named or [key for key in fitting if name is None or key.name is None]
