"""What the breaker raises.

    BreakerError
    ├── CircuitOpenError     the call was rejected and did not run
    └── WrongKindError       the wrapped function is not of the kind it was declared to be (also a TypeError)

Bad arguments are `ValueError` or `TypeError`, as everywhere in Python. An exception of the wrapped function is never
replaced: it comes out as it went in, also on the call that opens the circuit.
"""

from typing import TYPE_CHECKING, NamedTuple

from palaver.breaker.states import Reason, State

_MESSAGE_CHARACTERS = 200  # enough to recognise an error; bounded, because a message may carry a whole response body


class Failure(NamedTuple):
    """What is kept of a failure: text and time, never the exception, whose traceback would keep every frame alive."""

    kind: str
    """Qualified name of the exception's class, or `result` for a result that was declared a failure."""
    message: str
    """The first 200 characters of its text."""
    at: float
    """When it was recorded, in seconds of the breaker's clock."""


def describe(error: BaseException | None, at: float) -> Failure:
    """Say what went wrong without keeping it alive. Never raises, whatever `str(error)` does."""
    if error is None:
        return Failure("result", "declared a failure", at)
    kind = type(error)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)[:_MESSAGE_CHARACTERS]
    except Exception:  # noqa: BLE001  # a foreign __str__ may raise anything, and must not replace the error itself
        message = "(its text cannot be shown)"
    return Failure(name, message, at)


class BreakerError(Exception):
    """Root of what this package raises."""


class CircuitOpenError(BreakerError):
    """The call was rejected without running.

    The fields are kept as plain arguments, so that raising costs little and the error can be pickled.

    Args:
        name: Name of the breaker.
        state: State that rejected the call.
        reason: `open`, `probe_limit`, `forced` or `ramp`.
        retry_after: Seconds until a call may be admitted, at least 0; `None` when nobody knows, as while forced open.
        last_failure: The last failure that was recorded, if any.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            name: str | None,
            state: State,
            reason: Reason,
            retry_after: float | None = None,
            last_failure: Failure | None = None,
            /,
        ) -> None:
            """Documented above; at run time `BaseException` keeps the arguments without a Python frame, so they have
            places and no names."""

    @property
    def name(self) -> str | None:
        """Name of the breaker."""
        name: str | None = self.args[0]
        return name

    @property
    def state(self) -> State:
        """State that rejected the call."""
        state: State = self.args[1]
        return state

    @property
    def reason(self) -> Reason:
        """Why the call was rejected."""
        reason: Reason = self.args[2]
        return reason

    @property
    def retry_after(self) -> float | None:
        """Seconds until a call may be admitted; `None` when nobody knows."""
        wait: float | None = self.args[3] if len(self.args) > 3 else None
        return wait

    @property
    def last_failure(self) -> Failure | None:
        """The last failure that was recorded before the rejection."""
        failure: Failure | None = self.args[4] if len(self.args) > 4 else None
        return failure

    def __str__(self) -> str:
        text = f"circuit {self.name or '(unnamed)'} is {self.state.value.replace('_', '-')}: {_REASONS[self.reason]}"
        if self.retry_after is not None:
            text += f"; retry in {self.retry_after:.3g} s"
        if self.last_failure is not None:
            text += f"; last failure: {self.last_failure.kind}: {self.last_failure.message}"
        return text


class WrongKindError(BreakerError, TypeError):
    """A function returned what its declaration did not promise, so its outcome could not be observed."""


_REASONS = {
    Reason.OPEN: "the dependency failed and is left alone for now",
    Reason.PROBE_LIMIT: "all permitted probes are under way",
    Reason.FORCED: "an operator holds it open",
    Reason.RAMP: "it has just recovered and admits a share of the calls",
}
