"""Fetch pages over httpx, one after the other, and leave a host alone while it fails.

Run it with `python examples/breaker/httpx_sync.py URL...`. A page that cannot be had now is shown as it was last time.
"""

import sys

import httpx

from palaver.breaker import CircuitOpenError, Transition, consecutive, exponential, failure_rate, seconds
from palaver.breaker.http.httpx import BreakerTransport


def main(urls: list[str]) -> None:
    """Fetch every page once."""
    transport = BreakerTransport(
        httpx.HTTPTransport(retries=1),  # of the connection only: a retry above the breaker would count as a call
        trip=consecutive(3) | failure_rate(0.5, over=seconds(30), min_calls=10),
        open_for=exponential(5, cap=120),
        retry_after_cap=600,
        listener=say,
    )
    seen: dict[str, int] = {}
    with httpx.Client(transport=transport, timeout=httpx.Timeout(5, read=0.5)) as client:
        for url in urls:
            print(fetch(client, url, seen), flush=True)
    for breaker in transport.breakers:
        print(breaker.explain())


def fetch(client: httpx.Client, url: str, seen: dict[str, int]) -> str:
    """Fetch one page and say what came of it."""
    try:
        response = client.get(url)
        response.raise_for_status()
    except CircuitOpenError as error:  # before httpx's own errors, because it is one of them
        old = f"; it had {seen[url]} bytes" if url in seen else ""
        return f"{url}: not asked, retry in {error.retry_after or 0:.0f} s{old}"
    except httpx.HTTPStatusError as error:
        return f"{url}: {error.response.status_code}"
    except httpx.TransportError as error:
        return f"{url}: {type(error).__name__}"
    seen[url] = len(response.content)
    return f"{url}: {seen[url]} bytes"


def say(host: str, change: Transition) -> None:
    """Print a change of a host's breaker."""
    print(f"-- {host}: {change.before} to {change.after}: {change.why}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
