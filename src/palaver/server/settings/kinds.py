"""What a setting may be: each kind turns a flag's or variable's text, or a TOML value, into a checked value.

Invariants: `read` gives the same value for the text form and the TOML form; `text` gives a form that `read` takes; a
value that is not accepted raises ValueError with words that fit behind "must be", and never the value itself, because
a value may have been a secret put in the wrong place.
"""

# ruff: noqa: TRY004 - a value of a wrong type is one more value that is not accepted, not another kind of error

import math
import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

OFF = "off"


class Kind(Protocol):
    """How one setting is read and shown."""

    @property
    def placeholder(self) -> str:
        """What stands for the value in the help."""
        ...

    @property
    def range(self) -> str:
        """What is accepted, in words that fit behind "must be"."""
        ...

    def read(self, value: object) -> object:
        """Check and convert. Raises ValueError with the accepted range."""
        ...

    def text(self, value: object) -> str:
        """The text form of a converted value."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`, both included; None ("off") where `may_be_off`."""

    low: int
    high: int
    placeholder: str = "N"
    may_be_off: bool = False

    @property
    def range(self) -> str:
        return f"a whole number from {self.low} to {self.high}" + (f", or {OFF}" if self.may_be_off else "")

    def read(self, value: object) -> int | None:
        if self.may_be_off and value == OFF:
            return None
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(self.range)
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value) is None:
            raise ValueError(self.range)
        number = int(value)
        if not self.low <= number <= self.high:
            raise ValueError(self.range)
        return number

    def text(self, value: object) -> str:
        return OFF if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Seconds:
    """A duration from `low` to `high` seconds, both included; None ("off") where `may_be_off`."""

    low: float
    high: float
    may_be_off: bool = False
    placeholder: str = "S"

    @property
    def range(self) -> str:
        return f"{_plain(self.low)} to {_plain(self.high)} seconds" + (f", or {OFF}" if self.may_be_off else "")

    def read(self, value: object) -> float | None:
        if self.may_be_off and value == OFF:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(self.range)
        try:
            number = float(value)
        except ValueError:
            raise ValueError(self.range) from None
        if not math.isfinite(number) or not self.low <= number <= self.high:
            raise ValueError(self.range)
        return number

    def text(self, value: object) -> str:
        return OFF if value is None else str(value).removesuffix(".0")


def _plain(seconds: float) -> str:
    return str(int(seconds)) if seconds == int(seconds) else str(seconds)


@dataclass(frozen=True, slots=True)
class Dollars:
    """An amount of money of at least 0, to the cent of a cent; None ("off") for no cap."""

    placeholder: str = "DOLLARS"
    range: str = f"dollars from 0 to 1000000, or {OFF}"

    def read(self, value: object) -> float | None:
        if value == OFF:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(self.range)
        try:
            amount = float(value)
        except ValueError:
            raise ValueError(self.range) from None
        if not 0 <= amount <= 1_000_000:
            raise ValueError(self.range)
        return amount

    def text(self, value: object) -> str:
        return OFF if value is None else str(value).removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def placeholder(self) -> str:
        return "|".join(self.words)

    @property
    def range(self) -> str:
        return " or ".join(self.words)

    def read(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise ValueError(self.range)
        return value

    def text(self, value: object) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Switch:
    """Yes or no. On the command line it is given without a value."""

    placeholder: str = ""
    range: str = "true or false"

    def read(self, value: object) -> bool:
        known = {True: True, False: False, "true": True, "1": True, "false": False, "0": False, "": False}
        if not isinstance(value, bool | str) or value not in known:
            raise ValueError(self.range)
        return known[value]

    def text(self, value: object) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text that matches `pattern`."""

    placeholder: str
    range: str
    pattern: str = r"[!-~]{1,255}"

    def read(self, value: object) -> str:
        if not isinstance(value, str) or re.fullmatch(self.pattern, value) is None:
            raise ValueError(self.range)
        return value

    def text(self, value: object) -> str:
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Host:
    """The name or the address of this machine, without a port."""

    placeholder: str = "HOST"
    range: str = "a host name or an address, without a port (that is --port)"

    def read(self, value: object) -> str:
        if not isinstance(value, str) or re.fullmatch(r"[!-~]{1,255}", value) is None:
            raise ValueError(self.range)
        if any(mark in value for mark in ":/[]"):
            try:
                IPv6Address(value)
            except ValueError:
                raise ValueError(self.range) from None
        return value

    def text(self, value: object) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class File:
    """A path. Whether it exists is found out where it is used."""

    placeholder: str = "FILE"
    range: str = "a path"

    def read(self, value: object) -> Path:
        if not isinstance(value, str) or not value or "\x00" in value:
            raise ValueError(self.range)
        return Path(value).expanduser()

    def text(self, value: object) -> str:
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Origin:
    """A web origin as browsers send it (RFC 6454), or * for every one."""

    placeholder: str = "ORIGIN"
    range: str = "an origin like https://chat.example.org (scheme, host, port if unusual; nothing behind), or *"

    def read(self, value: object) -> str:
        if value == "*":
            return "*"
        if not isinstance(value, str) or re.fullmatch(r"https?://[^/?#\s@,]+", value.lower()) is None:
            raise ValueError(self.range)
        return value.lower()

    def text(self, value: object) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Network:
    """An address or a network in CIDR form."""

    placeholder: str = "NETWORK"
    range: str = "an address or a network like 10.0.0.0/8"

    def read(self, value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(self.range)
        try:
            return ip_network(value)
        except ValueError:
            raise ValueError(self.range) from None

    def text(self, value: object) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class KeyUrl:
    """Where keys are fetched from: https, or http from this machine."""

    placeholder: str = "URL"
    range: str = "an https URL without a user or password (http for 127.0.0.1, ::1 and localhost only)"

    def read(self, value: object) -> str:
        try:
            parts = urlsplit(value) if isinstance(value, str) else None
            local = parts is not None and parts.hostname in {"127.0.0.1", "::1", "localhost"}
        except ValueError:
            parts = None
        if parts is None or not parts.hostname or parts.username is not None or parts.fragment:
            raise ValueError(self.range)
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            raise ValueError(self.range)
        return parts.geturl()

    def text(self, value: object) -> str:
        """Without the query, which may carry a secret."""
        return "" if value is None else str(value).partition("?")[0]


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """Where a Redis or Valkey is."""

    placeholder: str = "URL"
    range: str = "a URL like redis://127.0.0.1:6379/0, rediss:// with TLS, or unix:///path"

    def read(self, value: object) -> str:
        try:
            scheme = urlsplit(value).scheme if isinstance(value, str) else ""
        except ValueError:
            scheme = ""
        if scheme not in ("redis", "rediss", "unix"):
            raise ValueError(self.range)
        return str(value)

    def text(self, value: object) -> str:
        """Without a user and password."""
        if value is None:
            return ""
        parts = urlsplit(str(value))
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


@dataclass(frozen=True, slots=True)
class Many:
    """Any number of another kind: the flag repeated, a TOML list, or commas between them."""

    kind: Kind

    @property
    def placeholder(self) -> str:
        return self.kind.placeholder

    @property
    def range(self) -> str:
        return f"{self.kind.range}; several: the flag repeated, a list in TOML, commas in the environment"

    def read(self, value: object) -> tuple[object, ...]:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        if not isinstance(value, list | tuple):
            raise ValueError(self.range)
        return tuple(map(self.kind.read, value))

    def text(self, value: object) -> str:
        return ",".join(map(self.kind.text, value)) if isinstance(value, tuple) else ""
