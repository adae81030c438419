"""One WebSocket connection after its handshake: bytes to the shell, frames to the transport.

Reading stops while writing is stopped, and while the log reads for the peer, so nobody makes the server buffer answers;
frames are taken in rations, so nobody holds a turn of the event loop; and more slowly when they come too fast.

Refuses to do: understand messages, know rooms. Invariants: the shell hears of a connection's end exactly once, by
`connection_lost`; after the beginning of a close no message is taken or sent; a close that the peer does not answer
ends in an abort after `linger_seconds`.
"""

import asyncio
from typing import TYPE_CHECKING

from palaver.server.fanout_room import FanoutRoom
from palaver.server.framing import PING
from palaver.server.inbound import Inbound

if TYPE_CHECKING:
    from palaver.server.shell import Shell

_REASON_BYTES = 123  # RFC 6455, 5.5: a control frame has at most 125 bytes, two of them the code


class Connection(Inbound, asyncio.Protocol):
    """The protocol of a transport whose WebSocket handshake is done."""

    __slots__ = (
        "_linger",
        "_on_at",
        "_reading",
        "_rest",
        "_shell",
        "_waits",
        "abandoned",
        "acks",
        "close_code",
        "closing",
        "congested",
        "descriptor",
        "handed",
        "ip",
        "lagging_since",
        "number",
        "out",
        "rooms",
        "transport",
        "write",
    )

    def __init__(self, shell: "Shell", transport: asyncio.Transport, ip: str) -> None:
        super().__init__()
        self._shell = shell
        self.transport = transport
        self.write = transport.write  # called for each member of each room, so with no method of ours in between
        self.descriptor = _descriptor(transport)  # for who writes to the socket itself; -1: nobody may
        self.handed = True  # the fan-out's; at first there is the end of the handshake
        self.ip = ip
        self.number = 0  # the shell's: which connection since its start, for the log
        self.rooms: tuple[FanoutRoom, ...] = ()  # the fan-out's
        self.out: list[bytes] | None = None  # the fan-out's
        self.acks: bytes | None = None  # the fan-out's
        self.lagging_since: float | None = None  # the fan-out's
        self.congested = False
        self.closing = False
        self.close_code = 1006  # until there is a close frame
        self.abandoned = True  # by the client; unless the end is begun here
        self._reading = True
        self._waits = False  # for what the log reads
        self._on_at = 0.0  # monotonic: when as many frames as came so far were allowed to have come
        self._rest: asyncio.Handle | None = None  # the next ration of what was read
        self._linger: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.number} {self.ip}{' closing' if self.closing else ''}>"

    def begin(self, answer: bytes, data: bytes) -> None:
        """Take over the transport. `answer` ends the handshake and goes out with the first frame; `data` came after."""
        shell = self._shell
        self.transport.set_write_buffer_limits(high=shell.bounds.write_high_bytes)
        shell.fanout.send(self, answer)
        shell.opened(self)
        if data:
            self.data_received(data)

    # ---- asyncio.Protocol ----

    def data_received(self, data: bytes) -> None:
        """Take frames."""
        shell = self._shell
        try:
            if shell.fast_path.receive(self, data):
                return
        except Exception as error:  # noqa: BLE001 - a fault of ours must cost its peer one request, not the process
            shell.performer.fault(error, self)
            return
        bounds = shell.bounds
        shell.stats.bytes_in += len(data)
        now = shell.clock()
        ration = bounds.frames_per_turn
        taken = self.consume(data, bounds.frame_bytes, ration, now)
        rate = bounds.frames_per_second
        if rate is not None and taken:
            credit = now - 1.0
            self._on_at = max(credit, self._on_at) + taken / rate
            if self._on_at > now and not self.closing:
                shell.stats.slowed_down += 1
                self._stop_reading()
                self._take_rest_soon(self._on_at - now)
                return
        if taken >= ration:
            self._stop_reading()
            self._take_rest_soon(0.0)
        elif self.deaf:
            if self._held is not None:
                self._stop_reading()  # only now: most who wait for the log have nothing more to say meanwhile
        elif not self._reading:
            self._reading = True
            self.transport.resume_reading()

    def eof_received(self) -> bool:
        """The peer sends no more; the transport closes once everything is written, or the linger is over."""
        self._begin_linger()
        return False

    def pause_writing(self) -> None:
        """The buffer is full: off the hot list, and no reading."""
        self.congested = True
        if not self.closing:
            self.deaf = True
            self._stop_reading()
            self._shell.fanout.congested(self)

    def resume_writing(self) -> None:
        """The buffer is nearly empty: what was missed, then reading."""
        self.congested = False
        if not self.closing:
            self._shell.fanout.drained(self)
            self._hear_again()

    def connection_lost(self, _exc: Exception | None) -> None:
        """The transport is gone."""
        self.forget()
        for handle in (self._rest, self._linger):
            if handle is not None:
                handle.cancel()
        self._rest = self._linger = None
        self.closing = True
        self.out = self.acks = None
        self._shell.lost(self)

    # ---- what the fan-out needs ----

    @property
    def buffered(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self.transport.get_write_buffer_size()

    # ---- frames ----

    def text(self, payload: bytes, now: float) -> None:
        """A whole text message."""
        if not self.closing:
            self._shell.received(self, payload, now)

    def binary(self, now: float) -> None:
        """A whole binary message."""
        if not self.closing:
            self._shell.received_binary(self, now)

    def control(self, now: float) -> None:
        """A ping or a pong."""
        if not self.closing:
            self._shell.heard(self, now)

    def answer(self, data: bytes) -> None:
        """Pongs and close frames."""
        self._shell.fanout.send(self, data)

    def ended(self, code: int, *, clean: bool) -> None:
        """The WebSocket is over; whatever is queued goes out first."""
        if not self.closing:
            self.close_code = code
            self.abandoned = clean
        self.closing = True
        self._shell.fanout.remove(self)
        self._shell.fanout.flush(self)
        self.forget()
        self._begin_linger()
        if clean or not self.transport.can_write_eof():
            self.transport.close()
            return
        # Closing now, with bytes unread, would reset the connection and the peer would never see the close frame.
        self.transport.write_eof()
        self.transport.resume_reading()

    def send_ping(self) -> None:
        """Send an RFC 6455 ping."""
        self._shell.fanout.send(self, PING)

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then close with this code. Does nothing where closing has begun."""
        if self.closing:
            return
        brief = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        frame = self.close_frame(code, brief, self._shell.bounds.frame_bytes)
        if frame is None:
            return
        self.closing = True
        self.close_code = code
        self.abandoned = False
        fanout = self._shell.fanout
        if self.lagging_since is None:
            fanout.settle(self)
        fanout.remove(self)
        fanout.send(self, frame)
        self.deaf = False
        self._take_rest_soon(0.0)
        self._begin_linger()

    def hold(self) -> None:
        """Take no frame until `release`."""
        if not self.closing:
            self.deaf = self._waits = True

    def release(self) -> None:
        """Go on taking frames, as fast as is allowed."""
        self._waits = False
        if not self.closing:
            self._hear_again()

    def abort(self) -> None:
        """End the connection now."""
        if not self.closing and self._linger is None:
            self.abandoned = False
        self.transport.abort()

    # ---- how fast frames are taken ----

    def _hear_again(self) -> None:
        if not self.congested and not self._waits:
            self.deaf = False
            self._take_rest_soon(max(0.0, self._on_at - self._shell.clock()))

    def _stop_reading(self) -> None:
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def _take_rest_soon(self, delay: float) -> None:
        if self._rest is not None:
            self._rest.cancel()
        loop = self._shell.loop
        self._rest = loop.call_later(delay, self._take_rest) if delay > 0 else loop.call_soon(self._take_rest)

    def _take_rest(self) -> None:
        self._rest = None
        if not self.deaf:
            self.data_received(b"")

    def _begin_linger(self) -> None:
        if self._linger is None:
            self._linger = self._shell.loop.call_later(self._shell.bounds.linger_seconds, self.abort)


def _descriptor(transport: asyncio.BaseTransport) -> int:
    """The socket's, or -1 where bytes have to go through the transport: TLS, or no socket at all."""
    socket = transport.get_extra_info("socket")
    return -1 if socket is None or transport.get_extra_info("sslcontext") is not None else int(socket.fileno())
