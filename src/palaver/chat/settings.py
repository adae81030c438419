"""What can be set about the chat core. Every number has its unit in its name or its comment; None means off."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """The limits and times that the engine obeys. palaver.server.settings checks ranges and documents each."""

    auth: Literal["guest", "token"] = "guest"
    history: int = 100  # messages kept and replayed per room
    history_age_seconds: float | None = None  # older messages are not shown and are removed
    messages: int | None = 5  # accepted messages per user in any `per_seconds`
    per_seconds: float = 1.0
    room_messages_per_second: int | None = 100
    frames_per_second: int | None = 50  # inbound frames of one connection, with a burst of twice as many
    ip_connects_per_second: int | None = 20  # with a burst of ten times as many
    ip_unauthenticated_frames_per_second: int | None = 20  # with a burst of ten times as many
    malformed_budget: int = 10  # malformed frames in `malformed_seconds` before 4008
    malformed_seconds: float = 60.0
    frame_bytes: int = 65_536
    text_chars: int = 4_000
    rooms: int = 128  # rooms of one connection
    heartbeat_interval_seconds: float = 25.0
    heartbeat_timeout_seconds: float = 10.0
    auth_timeout_seconds: float = 10.0
    leave_grace_seconds: float = 10.0
    presence_interval_seconds: float = 0.1  # presence changes of a room are collected this long
    presence_members: int = 1_000  # rooms with more members get counts instead of names
    expiry_warning_seconds: float = 60.0  # a token's owner is warned this long before it expires
