"""What an HTTP response says about its host, and which breaker is the host's. Knows no client library."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from palaver.breaker.breaker import CircuitBreaker
from palaver.breaker.checks import predicate
from palaver.breaker.config import Options
from palaver.breaker.permit import Permit
from palaver.breaker.registry import BreakerRegistry
from palaver.breaker.tickets import Transition

HostListener = Callable[[str, Transition], object]
_log = logging.getLogger("palaver.breaker")
_SECONDS: Final = re.compile(r"\s*(\d{1,9})\s*", re.ASCII)


def fails(status: int) -> bool:
    """The default: server errors, and 429 because it asks to be left alone."""
    return status >= 500 or status == 429


def retry_after(value: str | None, date: str | None) -> float | None:
    """Read a `Retry-After` header (RFC 9110, section 10.2.3) as seconds from now; None if there is nothing to read.

    A date is taken relative to the response's own `Date` header, so that clocks that differ do no harm. Never raises.
    """
    if value is None:
        return None
    if match := _SECONDS.fullmatch(value):
        return float(match[1])
    if date is None:
        return None
    try:
        until, at = parsedate_to_datetime(value), parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    # HTTP dates are in GMT, and some are written without saying so.
    wait = until.replace(tzinfo=until.tzinfo or UTC) - at.replace(tzinfo=at.tzinfo or UTC)
    return max(0.0, wait.total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPolicy:
    """How responses are judged."""

    failure_status: Callable[[int], bool] = fails
    """Which statuses are failures: by default 500 and above, and 429."""
    obey_retry_after: bool = True
    """Whether `Retry-After` of a failed response lengthens the wait, should the circuit open. Capped by
    `retry_after_cap`."""

    def __post_init__(self) -> None:
        predicate("failure_status", self.failure_status, "a predicate over statuses")


class Hosts:
    """The breakers of one client, by `host:port`, and the policy over them."""

    __slots__ = ("breakers", "policy")

    def __init__(
        self,
        breakers: BreakerRegistry[str] | None,
        policy: HttpPolicy | None,
        listener: HostListener | None,
        options: Options,
        defaults: Options,
    ) -> None:
        if breakers is not None and (options or listener is not None):
            found = [*options, *(["listener"] if listener is not None else [])]
            raise ValueError(f"give breakers or single options, not both; found {', '.join(found)}")
        merged: Options = {**defaults, **options}
        self.breakers = breakers if breakers is not None else BreakerRegistry(listener=listener, **merged)
        self.policy = policy or HttpPolicy()

    def breaker(self, scheme: str, host: str, port: int | None) -> CircuitBreaker:
        """The breaker of a host, which has the same name whatever the client writes around an IPv6 address."""
        name = host.strip("[]").lower()
        return self.breakers.get(f"{f'[{name}]' if ':' in name else name}:{port or _PORTS.get(scheme, 0)}")

    def settled_by_headers(self, permit: Permit, status: int, header: Callable[[str], str | None]) -> bool:
        """Settle as failed what the status says has failed. False if the body will decide."""
        if not self._fails(status):
            return False
        wait = retry_after(header("Retry-After"), header("Date")) if self.policy.obey_retry_after else None
        permit.failure(None, retry_after=wait)
        return True

    def _fails(self, status: int) -> bool:
        try:
            return bool(self.policy.failure_status(status))
        except Exception:  # noqa: BLE001  # foreign code, and the response must reach the caller all the same
            _log.exception("failure_status raised; status %s is judged as by default", status)
            return fails(status)


_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
