"""Tests for locks, yours too: an explorer of interleavings, checkers of histories, and faults.

* `explorer`: runs every order of two actors' commands on a real server, without sleeping, and finds the first that
  breaks a rule. Takes any lock through three methods.
* `history`: says whether what was observed can be the work of a lock.
* `faults`: a proxy that loses replies, and cancellation at any await.
* `server`: a server to do all of this on.
* `naive`: the lock everybody writes first, which all of this finds the faults of.
"""

from palaver.lock.testing.explorer import Exploration, LockUnderTest, Rule, Scenario, Violation, explore
from palaver.lock.testing.faults import Proxy, cancel_at
from palaver.lock.testing.history import Hold, check_fences, check_fifo, check_intervals, check_no_write_lost
from palaver.lock.testing.linearizable import Operation, is_linearizable
from palaver.lock.testing.server import running_server

__all__ = [
    "Exploration",
    "Hold",
    "LockUnderTest",
    "Operation",
    "Proxy",
    "Rule",
    "Scenario",
    "Violation",
    "cancel_at",
    "check_fences",
    "check_fifo",
    "check_intervals",
    "check_no_write_lost",
    "explore",
    "is_linearizable",
    "running_server",
]
