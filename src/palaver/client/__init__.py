"""The async Python client: stays connected, loses nothing, and says what became of every message.

The names here are the public interface; modules below are not.
"""

from palaver.client.chat import Chat, Room, connect
from palaver.client.errors import (
    ClientError,
    Closed,
    NotJoined,
    NotSent,
    OutboxFull,
    ProtocolError,
    Refused,
    Unknown,
    Unreachable,
)
from palaver.client.events import Deleted, Event, Gap, Link, Message, Position, Presence, Stored, Typing, User
from palaver.client.link import Policy

__all__ = [
    "Chat",
    "ClientError",
    "Closed",
    "Deleted",
    "Event",
    "Gap",
    "Link",
    "Message",
    "NotJoined",
    "NotSent",
    "OutboxFull",
    "Policy",
    "Position",
    "Presence",
    "ProtocolError",
    "Refused",
    "Room",
    "Stored",
    "Typing",
    "Unknown",
    "Unreachable",
    "User",
    "connect",
]
