"""Breakers for HTTP clients: one for each host, settled when the body has ended, heedful of `Retry-After`.

One module for each client, so that importing one needs only that client: `httpx`, `aiohttp`, `requests`.
"""
