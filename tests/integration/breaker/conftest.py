"""The faulty server of the unit tests, for whole programs."""

from tests.unit.breaker.http.conftest import server

__all__ = ["server"]
