"""What the IO shell of the server allows: every bound on bytes, frames, connections and waiting in one place.

The limits that the protocol tells clients about are palaver.chat.settings.ChatSettings; these are the ones below it.
"""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Each number has its unit in its name or its comment; None means off. palaver.server.settings checks ranges."""

    path: str = "/ws"  # where WebSockets are
    origins: tuple[str, ...] = ()  # web pages of these origins may connect, beside those of our own host; "*" is all
    local_hosts_only: bool = False  # our own pages are those of localhost and of addresses, not of any name
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()  # peers whose X-Forwarded-For is believed
    head_bytes: int = 16_384  # of the first request on a connection
    head_seconds: float = 10.0  # to send that head
    unfinished_handshakes: int = 1_000  # connections without a whole first head; with one more the oldest is dropped
    frame_bytes: int = 65_536  # of one message from a client, also when it comes in fragments
    frames_per_turn: int = 64  # frames of one connection in one turn of the event loop
    frames_per_second: float | None = 400.0  # of one connection, of any kind; reading is slowed down beyond it
    write_high_bytes: int = 65_536  # unsent bytes of one connection at which it leaves the hot list
    waiting_bytes: int = 1_048_576  # what may wait for one connection, in its buffer and in its rooms
    answer_bytes: int = 1_700_000  # the largest answer to one request: it may fill the buffer beside what waits
    slow_seconds: float = 35.0  # in which one that is behind takes `write_high_bytes`; heartbeat interval plus timeout
    log_seconds: float = 5.0  # after that a read of the log is `unavailable`; less than the heartbeat's timeout
    linger_seconds: float = 5.0  # from a close frame to the end of a connection that does not react
    slice_members: int = 500  # members of a large room that are written to before others get a turn
    authentications: int = 1_000  # tokens being verified at the same time; beyond that `unavailable`
