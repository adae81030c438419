"""Who a token says somebody is, once its signature has been verified elsewhere. No cryptography, no clock.

Refuses to do: verify signatures; that is palaver.server.identity. Here a mapping of claims becomes an `Identity`, or a
`Refusal` that says what is wrong in words that are safe to send to the peer.

Invariant: a refusal's message contains nothing of a token but names, globs and their problems.
"""

from collections.abc import Mapping
from typing import Literal, TypeGuard

import msgspec

from palaver.chat.names import name_problem
from palaver.chat.records import OURS, User
from palaver.chat.rights import ClaimError, Rights, rights_from_claims

SUBJECT_CHARS = 128
_LAST_TIME = 253_402_300_800  # the year 10000; a larger `exp` is a mistake in its unit
RefusalCode = Literal["invalid_token", "token_expired", "unavailable"]


class Identity(msgspec.Struct, frozen=True, gc=False):
    """A verified user. `expires` is monotonic seconds and includes the leeway; `expires_ms` is the claim itself."""

    user: User
    rights: Rights
    expires: float | None
    expires_ms: int | None


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Why a token was not accepted: a code of palaver.chat.errors and a sentence for people."""

    code: RefusalCode
    message: str


def identity_from_claims(
    claims: Mapping[str, object], *, now: float, wall: float, leeway_seconds: float = 0.0
) -> Identity | Refusal:
    """Read the claims of a verified token.

    `now` is monotonic seconds and `wall` is Unix seconds minus monotonic seconds. Clocks may differ by
    `leeway_seconds`: that much later a token still counts, that much earlier one with `nbf` counts already.
    Never raises for what a token says.
    """
    expiry, start = claims.get("exp"), claims.get("nbf", 0)
    if not _is_time(expiry) or not _is_time(start):
        return Refusal("invalid_token", "The claims exp (required) and nbf must be numbers of seconds.")
    if expiry - wall + leeway_seconds <= now:
        return Refusal("token_expired", "The token has expired.")
    if start - wall - leeway_seconds > now:
        return Refusal("invalid_token", "The token is not valid yet.")
    subject, name = claims.get("sub"), claims.get("name")
    if not isinstance(subject, str) or not 1 <= len(subject) <= SUBJECT_CHARS or not subject.isprintable():
        return Refusal("invalid_token", f"The claim sub must be a string of 1 to {SUBJECT_CHARS} printable characters.")
    if subject.startswith(OURS):
        return Refusal("invalid_token", f"The claim sub must not begin with {OURS}: such users are the server itself.")
    if not isinstance(name, str):
        return Refusal("invalid_token", "The claim name must be a string.")
    if problem := name_problem(name):
        return Refusal("invalid_token", f"The claim name is not allowed. {problem}")
    try:
        rights = rights_from_claims(claims.get("rooms"), claims.get("roles"))
    except ClaimError as error:
        return Refusal("invalid_token", f"The token's claims are wrong: {error}.")
    return Identity(User(subject, name), rights, expiry - wall + leeway_seconds, int(expiry * 1000))


def _is_time(value: object) -> TypeGuard[float]:
    """Accept what JSON calls a number. NaN and infinity would make a token that never expires."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LAST_TIME
