"""Actors whose every Redis command is a step that somebody else allows.

Each actor runs in a thread of its own, but only one moves at a time: it stops before each command until the stage
lets it go on, and the stage waits until it stands before its next command or has ended. So an order of steps is
an order of commands on the server, repeatable, without any sleeping.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from palaver.lock.client import Reply

STUCK_SECONDS = 10.0
"""How long a step may take before the stage says that the actor does something that is no Redis command."""


class CrashedError(BaseException):
    """Thrown into an actor that is to die where it stands. Not an Exception: no lock may handle it."""


class Actor:
    """One scripted thread. `standing` names the command it stands before; `ended` says that its program is over."""

    def __init__(self, name: str, program: Callable[["Actor"], None]) -> None:
        self.name = name
        self.standing: str | None = None
        self.ended = False
        self.crashed = False
        self.error: Exception | None = None
        self._program = program
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=f"actor-{name}", daemon=True)

    def start(self) -> None:
        """Run to the first command."""
        self._thread.start()
        self._wait()

    def step(self) -> None:
        """Do the command it stands before, and run to the next."""
        self._go.release()
        self._wait()

    def crash(self) -> None:
        """Die before the next command, as a process killed there would: nothing of the program runs any more."""
        self.crashed = True
        self.step()

    def finish(self) -> None:
        """Die if it is still there; used to end a run."""
        while not self.ended:
            self.crash()
        self._thread.join(STUCK_SECONDS)

    def stand(self, what: str) -> None:
        """Called in the actor's thread before a command: wait to be let go."""
        if self.crashed:
            raise CrashedError
        self.standing = what
        self._stopped.release()
        self._go.acquire()
        self.standing = None
        if self.crashed:
            raise CrashedError

    def _wait(self) -> None:
        if not self._stopped.acquire(timeout=STUCK_SECONDS):
            raise RuntimeError(f"actor {self.name} did not come to its next command within {STUCK_SECONDS} s")

    def _run(self) -> None:
        _ACTING.actor = self
        try:
            self._program(self)
        except CrashedError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever the lock raises is part of what is observed
            self.error = error
        finally:
            _ACTING.actor = None
            self.ended = True
            self._stopped.release()


class _Acting(threading.local):
    """Which actor this thread is; None for every other thread."""

    actor: Actor | None = None


_ACTING = _Acting()


def stand_before(what: str) -> None:
    """Make anything a step, for instance a lock's own sleep. Does nothing outside an actor."""
    if _ACTING.actor is not None:
        _ACTING.actor.stand(what)


class SteppedRedis(redis.Redis):
    """A redis client whose commands are steps when an actor calls them. Replies lost to a crash close nothing else."""

    def execute_command(self, *args: Any, **options: Any) -> "Reply":  # noqa: ANN401 - redis-py's own signature
        stand_before(describe(args))
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped


def describe(command: tuple[object, ...]) -> str:
    """The command as people write it; a script by the first words of its own arguments."""
    words = [word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in command]
    if words[0] in {"EVAL", "EVALSHA"}:
        keys = int(words[2])
        return " ".join([words[0], words[3], *words[3 + keys :]])[:80]
    return " ".join(words)[:80]
