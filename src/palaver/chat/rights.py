"""Who may do what in which room: globs per action. No IO, and no knowledge of tokens beyond two of their claims.

Invariants: a `Rights` never changes; what no glob matches is not allowed; an action that is not known is an error in
the program, not a refusal.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal, get_args

import msgspec

Action = Literal["join", "send", "ask", "moderate"]
ACTIONS: tuple[Action, ...] = get_args(Action)
ROLES = ("moderator", "operator")
GLOBS = 256  # in one token; every join and send walks them
GLOB_CHARS = 128
EVERYWHERE = ("*",)


class ClaimError(ValueError):
    """A claim of a token does not say what rights it means; the text says which and why."""


class Rights(msgspec.Struct, frozen=True, gc=False):
    """What one user may do. Globs know `*`, `?` and `[abc]`; they are matched with regard to case.

    `operator` opens the HTTP administration: every room at once. It does not by itself allow anything in a room.
    """

    join: tuple[str, ...] = EVERYWHERE
    send: tuple[str, ...] = EVERYWHERE
    ask: tuple[str, ...] = EVERYWHERE  # to spend money on models, where the server has any
    moderate: tuple[str, ...] = ()
    operator: bool = False

    def allows(self, action: Action, room: str) -> bool:
        """Say whether the user may do this in the room."""
        globs: tuple[str, ...] = getattr(self, action)
        return globs == EVERYWHERE or any(fnmatchcase(room, glob) for glob in globs)


GUEST = Rights()


def rights_from_claims(rooms: object, roles: object) -> Rights:
    """Read the claims `rooms` and `roles`; None stands for a claim that the token does not have.

    `rooms` is a list of globs (join, send and ask there), or an object from glob to a list of actions; without it every
    room may be joined, written to and asked. The role `moderator` moderates everywhere; `operator` does too, and opens
    the HTTP administration.

    Raises:
        ClaimError: a claim has another shape, names an unknown action or role, or has too many or too long globs.
    """
    named = _roles(roles)
    globs = _globs(rooms)
    if named:
        globs["moderate"] = EVERYWHERE
    return Rights(**globs, operator="operator" in named)


def _roles(roles: object) -> frozenset[str]:
    if roles is None:
        return frozenset()
    if not isinstance(roles, list) or not all(role in ROLES for role in roles):
        raise ClaimError(f"roles must be a list of {' and '.join(ROLES)}")
    return frozenset(roles)


def _globs(rooms: object) -> dict[Action, tuple[str, ...]]:
    if rooms is None:
        return {"join": EVERYWHERE, "send": EVERYWHERE, "ask": EVERYWHERE}
    if isinstance(rooms, list):
        rooms = {_glob(glob): ["join", "send", "ask"] for glob in rooms}
    if not isinstance(rooms, Mapping):
        raise ClaimError("rooms must be a list of globs, or an object from glob to a list of actions")
    if len(rooms) > GLOBS:
        raise ClaimError(f"rooms has {len(rooms)} globs; at most {GLOBS} are allowed")
    for glob, actions in rooms.items():
        _glob(glob)
        if not isinstance(actions, list) or not all(action in ACTIONS for action in actions):
            raise ClaimError(f"rooms[{glob!r}] must be a list of {', '.join(ACTIONS)}")
    return {action: tuple(glob for glob, actions in rooms.items() if action in actions) for action in ACTIONS}


def _glob(glob: object) -> str:
    if not isinstance(glob, str) or not 1 <= len(glob) <= GLOB_CHARS:
        raise ClaimError(f"each glob of rooms must be a string of 1 to {GLOB_CHARS} characters")
    return glob
