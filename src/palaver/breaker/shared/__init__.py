"""Breakers of many processes that share what they learn, over Redis or Valkey. Needs the `redis` client.

Start with `Fleet`.
"""

from palaver.breaker.shared.fleet import Fleet

__all__ = ["Fleet"]
