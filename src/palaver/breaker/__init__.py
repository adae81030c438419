"""A circuit breaker for sync and async code. Standard library only."""
