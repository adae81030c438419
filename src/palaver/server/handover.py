"""A transport that the HTTP library has on loan: it can be taken back for a WebSocket between two requests.

Proxies keep connections to a server open and send whatever comes next over them: a page first, then an upgrade. The
HTTP library has the connection by then. It gets this loan instead of the transport, so that it can be told, in the
words of asyncio's own interface, that its connection is gone, while the real one lives on.

Refuses to do: HTTP. Invariant: after `take_back` nothing that the borrower does reaches the connection.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from palaver.server.door import Door


Octets: TypeAlias = "bytes | bytearray | memoryview[Any]"  # memoryview takes no parameter before Python 3.14


class Loan(asyncio.Transport):
    """One borrowed transport, and the door that can take it back."""

    __slots__ = ("_lent", "door")

    def __init__(self, transport: asyncio.Transport, door: "Door") -> None:
        super().__init__()
        self._lent: asyncio.Transport | None = transport
        self.door = door

    def take_back(self) -> asyncio.Transport | None:
        """End the loan; None where it has ended before."""
        lent, self._lent = self._lent, None
        return lent

    # ---- asyncio.Transport ----

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as the base class has it
        """As of the real one."""
        return default if self._lent is None else self._lent.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """True also for a loan that has ended."""
        return self._lent is None or self._lent.is_closing()

    def close(self) -> None:
        """Close the real one."""
        if self._lent is not None:
            self._lent.close()

    def abort(self) -> None:
        """Abort the real one."""
        if self._lent is not None:
            self._lent.abort()

    def write(self, data: "Octets") -> None:
        """Write to the real one."""
        if self._lent is not None:
            self._lent.write(data)

    def writelines(self, list_of_data: "Iterable[Octets]") -> None:
        """Write to the real one."""
        if self._lent is not None:
            self._lent.writelines(list_of_data)

    def is_reading(self) -> bool:
        """As of the real one."""
        return self._lent is not None and self._lent.is_reading()

    def pause_reading(self) -> None:
        """Pause the real one."""
        if self._lent is not None:
            self._lent.pause_reading()

    def resume_reading(self) -> None:
        """Go on with the real one."""
        if self._lent is not None:
            self._lent.resume_reading()

    def get_write_buffer_size(self) -> int:
        """As of the real one."""
        return 0 if self._lent is None else self._lent.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set those of the real one."""
        if self._lent is not None:
            self._lent.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        """As of the real one."""
        return self._lent is not None and self._lent.can_write_eof()

    def write_eof(self) -> None:
        """Write it to the real one."""
        if self._lent is not None:
            self._lent.write_eof()
