"""For tests of code that uses a breaker, and for choosing its thresholds. Nothing in such a test needs to sleep.

* `FakeClock`: the `clock` of a breaker, which moves when it is told to.
* `Scenario`: a script of calls, and of what must hold between them.
* `Recorder` and `replay`: recorded calls against other thresholds.
"""

from palaver.breaker.testing.clock import FakeClock
from palaver.breaker.testing.replay import Recorder, Replay, replay
from palaver.breaker.testing.scenario import Scenario, ScriptedError

__all__ = ["FakeClock", "Recorder", "Replay", "Scenario", "ScriptedError", "replay"]
