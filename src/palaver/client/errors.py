"""Everything the client raises.

    ClientError
    ├── Refused          the server said no; nothing was stored or changed
    │   └── NotSent      the client itself gave up before anything was written; surely not stored
    ├── Unknown          a message was written and nobody can say any more whether it was stored
    ├── NotJoined        the room has not been joined with this client, or was left
    ├── OutboxFull       as many messages wait as the outbox holds
    ├── Closed           the connection ended for good
    │   └── Unreachable  it never began: nobody answered in time
    └── ProtocolError    the server said something that this client cannot understand

Fields carry the facts; texts are for people. The server's codes are the table of palaver.chat.errors.
"""


class ClientError(Exception):
    """The root: everything this package raises on purpose."""


class Refused(ClientError):
    """The server refused a request. `code` is stable; the text is for people."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after_ms: int | None = None,
        scope: str | None = None,
        field: str | None = None,
        trace: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms
        self.scope = scope
        self.field = field
        self.trace = trace

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class NotSent(Refused):
    """The message was never written, or is known not to be stored, and the client has given it up."""

    def __init__(self, message: str) -> None:
        super().__init__("not_sent", message)


class Unknown(ClientError):
    """The message was written; the answer was lost and cannot be had any more. It may or may not be stored."""

    def __init__(self, room: str, cid: str, reason: str) -> None:
        super().__init__(f"Nobody can say whether message {cid} to {room!r} was stored: {reason}.")
        self.room = room
        self.cid = cid
        self.reason = reason


class NotJoined(ClientError):
    """The room must be joined first."""

    def __init__(self, room: str) -> None:
        super().__init__(f"The room {room!r} is not joined: call join({room!r}) first.")
        self.room = room


class OutboxFull(ClientError):
    """Too many messages wait to be sent; wait for some of them before sending more."""

    def __init__(self, capacity: int) -> None:
        super().__init__(f"{capacity} messages are waiting already: await some of them before sending more.")
        self.capacity = capacity


class Closed(ClientError):
    """The chat is over. `code` is the close code, None where there was none; `error` the server's last word on it."""

    def __init__(self, code: int | None, reason: str, error: Refused | None = None) -> None:
        shown = "" if code is None else f" with code {code}"
        super().__init__(f"The connection was closed{shown}: {error or reason or 'no reason was given'}.")
        self.code = code
        self.reason = reason
        self.error = error


class Unreachable(Closed):
    """No server could be talked to before the time was over."""

    def __init__(self, reason: str) -> None:
        super().__init__(None, reason)


class ProtocolError(ClientError):
    """The server sent what is not in protocol version 1. The connection is given up and made anew."""
