"""An adapter for requests. Needs `requests`.

    session = requests.Session()
    session.mount("https://", BreakerAdapter())

A request is settled when its body has been read to the end, has failed, or is closed.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Unpack, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import parse_url

from palaver.breaker.config import Options
from palaver.breaker.errors import CircuitOpenError
from palaver.breaker.http.policy import HostListener, Hosts, HttpPolicy
from palaver.breaker.permit import Permit
from palaver.breaker.registry import BreakerRegistry

# What the caller did wrong says nothing about the host.
_DEFAULTS: Options = {
    "ignore": (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidHeader,
    )
}


class RequestsCircuitOpenError(CircuitOpenError, requests.ConnectionError):
    """A request was rejected. For code that handles requests' errors, one more way in which a host cannot be
    reached."""

    def __init__(self, *args: object, request: requests.PreparedRequest | None = None) -> None:
        requests.ConnectionError.__init__(self, request=request)
        self.args = args  # OSError, which is among the bases, has its own idea of what arguments mean


class BreakerAdapter(HTTPAdapter):
    """Guards the requests of a session, one breaker for each host.

    Args:
        breakers: The breakers to use, to share them between sessions; None makes a registry of its own.
        policy: Which statuses are failures.
        listener: Called with `host:port` and the transition after each change of a breaker.
        adapter: Arguments for `requests.adapters.HTTPAdapter`, as `{"pool_maxsize": 20}`.
        **options: The fields of `palaver.breaker.Config` for a registry of its own.
    """

    def __init__(
        self,
        *,
        breakers: BreakerRegistry[str] | None = None,
        policy: HttpPolicy | None = None,
        listener: HostListener | None = None,
        adapter: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**(adapter or {}))
        self._hosts = Hosts(breakers, policy, listener, options, _DEFAULTS)

    @property
    def breakers(self) -> BreakerRegistry[str]:
        """The breakers, by `host:port`."""
        return self._hosts.breakers

    def __getstate__(self) -> dict[str, Any]:
        # The base class would leave the breakers out, and every request would fail.
        raise TypeError("a BreakerAdapter is not copied or pickled, because its breakers stay here: mount a new one")

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        """Send the request, unless the circuit of its host is open. Arguments as for `HTTPAdapter.send`.

        Raises:
            RequestsCircuitOpenError: if the request is rejected.
        """
        url = parse_url(request.url or "")
        try:
            permit = self._hosts.breaker(url.scheme or "", url.host or "", url.port).acquire()
        except CircuitOpenError as error:
            raise RequestsCircuitOpenError(*error.args, request=request) from None
        started = time.monotonic()
        try:
            response = super().send(request, *args, **kwargs)
        except BaseException as error:
            permit.failure(error)
            raise
        if not self._hosts.settled_by_headers(permit, response.status_code, response.headers.get):
            response.raw = _Body(response.raw, permit, time.monotonic() - started)
        return response


class _Body:
    """urllib3's response, watched: what it is asked to read settles the permit. Everything else passes through."""

    def __init__(self, raw: Any, permit: Permit, elapsed: float) -> None:  # noqa: ANN401  # untyped there
        self._raw, self._permit, self._elapsed = raw, permit, elapsed

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever urllib3's response has
        return getattr(self._raw, name)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:  # noqa: ANN401  # as urllib3's
        try:
            for chunk in self._raw.stream(*args, **kwargs):
                self._permit.renew()
                yield chunk
        except GeneratorExit:  # the reader has enough; closing says the rest
            raise
        except BaseException as error:
            self._permit.failure(error)
            raise
        self._permit.success(elapsed=self._elapsed)

    def __iter__(self) -> Iterator[bytes]:
        while line := self._step(self._raw.readline):
            yield line

    def read(self, *args: Any, **kwargs: Any) -> bytes:  # noqa: ANN401  # as urllib3's
        return cast("bytes", self._step(self._raw.read, *args, **kwargs))

    def read1(self, *args: Any, **kwargs: Any) -> bytes:  # noqa: ANN401  # as urllib3's
        return cast("bytes", self._step(self._raw.read1, *args, **kwargs))

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # whatever can be written to
        return cast("int", self._step(self._raw.readinto, buffer))

    def readline(self, *args: Any) -> bytes:  # noqa: ANN401  # as urllib3's
        return cast("bytes", self._step(self._raw.readline, *args))

    def _step(self, read: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # bytes, or a number
        try:
            got = read(*args, **kwargs)
        except BaseException as error:
            self._permit.failure(error)
            raise
        if got and not self._raw.closed:
            self._permit.renew()
        else:
            self._permit.success(elapsed=self._elapsed)
        return got

    def close(self) -> None:
        self._permit.success(elapsed=self._elapsed)
        self._raw.close()

    def release_conn(self) -> None:
        self._permit.success(elapsed=self._elapsed)
        self._raw.release_conn()
