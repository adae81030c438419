"""Fetch pages over requests through an adapter that leaves a host alone while it fails.

Run it with `python examples/breaker/requests_session.py URL...`.
"""

import sys

import requests

from palaver.breaker import CircuitOpenError, Transition, consecutive, exponential, failure_rate, seconds
from palaver.breaker.http.requests import BreakerAdapter


def main(urls: list[str]) -> None:
    """Fetch every page once."""
    adapter = BreakerAdapter(
        trip=consecutive(3) | failure_rate(0.5, over=seconds(30), min_calls=10),
        open_for=exponential(5, cap=120),
        retry_after_cap=600,
        listener=say,
    )
    with requests.Session() as session:
        session.mount("https://", adapter)
        session.mount("http://", adapter)  # the same adapter, so the same breakers
        for url in urls:
            print(fetch(session, url), flush=True)
    for breaker in adapter.breakers:
        print(breaker.explain())


def fetch(session: requests.Session, url: str) -> str:
    """Fetch one page and say what came of it."""
    try:
        response = session.get(url, timeout=(5, 0.5))
        response.raise_for_status()
    except CircuitOpenError as error:  # before requests' own errors, because it is one of them
        return f"{url}: not asked, retry in {error.retry_after or 0:.0f} s"
    except requests.HTTPError as error:
        return f"{url}: {error.response.status_code}"
    except requests.RequestException as error:
        return f"{url}: {type(error).__name__}"
    return f"{url}: {len(response.content)} bytes"


def say(host: str, change: Transition) -> None:
    """Print a change of a host's breaker."""
    print(f"-- {host}: {change.before} to {change.after}: {change.why}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
