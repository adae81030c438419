"""Fetch pages over httpx, each host's pages one after the other and all hosts at once, over breakers per host.

Run it with `python examples/breaker/httpx_async.py URL...`. A host that is left alone does not hold up the others.
"""

import asyncio
import sys
from collections import defaultdict

import httpx

from palaver.breaker import CircuitOpenError, Transition, consecutive, exponential, failure_rate, seconds
from palaver.breaker.http.httpx import AsyncBreakerTransport


async def main(urls: list[str]) -> None:
    """Fetch every page once."""
    transport = AsyncBreakerTransport(
        trip=consecutive(3) | failure_rate(0.5, over=seconds(30), min_calls=10),
        open_for=exponential(5, cap=120),
        retry_after_cap=600,
        listener=say,
    )
    by_host: dict[str, list[str]] = defaultdict(list)
    for url in urls:
        by_host[httpx.URL(url).netloc.decode()].append(url)
    async with (
        httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(5, read=0.5)) as client,
        asyncio.TaskGroup() as group,
    ):
        for pages in by_host.values():
            group.create_task(fetch_all(client, pages))
    for breaker in transport.breakers:
        print(breaker.explain())


async def fetch_all(client: httpx.AsyncClient, urls: list[str]) -> None:
    """Fetch the pages of one host."""
    for url in urls:
        print(await fetch(client, url), flush=True)


async def fetch(client: httpx.AsyncClient, url: str) -> str:
    """Fetch one page, chunk by chunk, and say what came of it."""
    size = 0
    try:
        async with client.stream("GET", url) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                size += len(chunk)
    except CircuitOpenError as error:  # before httpx's own errors, because it is one of them
        return f"{url}: not asked, retry in {error.retry_after or 0:.0f} s"
    except httpx.HTTPStatusError as error:
        return f"{url}: {error.response.status_code}"
    except httpx.TransportError as error:
        return f"{url}: {type(error).__name__} after {size} bytes"
    return f"{url}: {size} bytes"


def say(host: str, change: Transition) -> None:
    """Print a change of a host's breaker."""
    print(f"-- {host}: {change.before} to {change.after}: {change.why}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
