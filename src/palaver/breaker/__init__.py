"""A circuit breaker for sync and async code. Standard library only.

Start with `CircuitBreaker`. The state machine is in `core` and `circuit`, its table in
`states`, the lock in `engine`.
"""

from palaver.breaker.backoff import Exponential, OpenContext, exponential
from palaver.breaker.breaker import CircuitBreaker
from palaver.breaker.config import Config
from palaver.breaker.engine import CallRecord
from palaver.breaker.errors import BreakerError, CircuitOpenError, Failure, WrongKindError
from palaver.breaker.permit import Permit
from palaver.breaker.registry import BreakerRegistry
from palaver.breaker.rules import Rule, consecutive, failure_rate, slow_rate
from palaver.breaker.states import Cause, Mode, Outcome, Reason, State
from palaver.breaker.tally import Latency, Snapshot
from palaver.breaker.tickets import Transition
from palaver.breaker.window import last, seconds

__all__ = [
    "BreakerError",
    "BreakerRegistry",
    "CallRecord",
    "Cause",
    "CircuitBreaker",
    "CircuitOpenError",
    "Config",
    "Exponential",
    "Failure",
    "Latency",
    "Mode",
    "OpenContext",
    "Outcome",
    "Permit",
    "Reason",
    "Rule",
    "Snapshot",
    "State",
    "Transition",
    "WrongKindError",
    "consecutive",
    "exponential",
    "failure_rate",
    "last",
    "seconds",
    "slow_rate",
]
