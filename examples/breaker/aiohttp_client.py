"""Fetch pages over aiohttp through a middleware that leaves a host alone while it fails.

Run it with `python examples/breaker/aiohttp_client.py URL...`. A limited host is asked again when it said, not before.
"""

import asyncio
import sys

import aiohttp

from palaver.breaker import CircuitOpenError, Transition, consecutive, exponential, failure_rate, seconds
from palaver.breaker.http.aiohttp import BreakerMiddleware


async def main(urls: list[str]) -> None:
    """Fetch every page once."""
    middleware = BreakerMiddleware(
        trip=consecutive(3) | failure_rate(0.5, over=seconds(30), min_calls=10),
        open_for=exponential(5, cap=120),
        retry_after_cap=600,
        listener=say,
    )
    timeout = aiohttp.ClientTimeout(connect=5, sock_read=0.5)
    async with aiohttp.ClientSession(middlewares=[middleware], timeout=timeout) as session:
        for url in urls:
            print(await fetch(session, url), flush=True)
    for breaker in middleware.breakers:
        print(breaker.explain())


async def fetch(session: aiohttp.ClientSession, url: str) -> str:
    """Fetch one page and say what came of it."""
    try:
        async with session.get(url, raise_for_status=True) as response:
            size = len(await response.read())
    except CircuitOpenError as error:  # before aiohttp's own errors, because it is one of them
        return f"{url}: not asked, retry in {error.retry_after or 0:.0f} s"
    except aiohttp.ClientResponseError as error:
        return f"{url}: {error.status}"
    except aiohttp.ClientError as error:
        return f"{url}: {type(error).__name__}"
    return f"{url}: {size} bytes"


def say(host: str, change: Transition) -> None:
    """Print a change of a host's breaker."""
    print(f"-- {host}: {change.before} to {change.after}: {change.why}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
