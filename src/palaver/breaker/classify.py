"""What an exception or a result says about the dependency.

Runs user predicates, so it is never called under the lock. It never raises: a predicate that raises is logged, and the
exception it was asked about counts as a failure, the result as a success.
"""

import logging
from collections.abc import Callable
from typing import Final, cast

from palaver.breaker.checks import predicate
from palaver.breaker.states import CANCELLED, FAILURE, IGNORED, UNREACHABLE, Outcome

ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]
ExceptionPredicate = Callable[[BaseException], bool]
Matcher = ExceptionTypes | ExceptionPredicate

_WANTED: Final = "an exception class, a tuple of classes, or a predicate"
_log = logging.getLogger("palaver.breaker")


class Classifier:
    """Turns exceptions into outcomes.

    In this order: what `ignore` matches is IGNORED; what `unreachable` matches is UNREACHABLE; what `failures`
    matches is a FAILURE; other subclasses of `Exception` are IGNORED; the rest (cancellation, KeyboardInterrupt,
    SystemExit, GeneratorExit) is CANCELLED. Of an exception group, `failures` and `unreachable` match if any leaf
    does, `ignore` if all do.
    """

    __slots__ = ("_all_exceptions_fail", "_failures", "_ignore", "_unreachable")

    def __init__(self, failures: Matcher, ignore: Matcher, unreachable: Matcher) -> None:
        self._failures, self._ignore, self._unreachable = failures, ignore, unreachable
        # The default needs one isinstance; everything else takes the long way, also groups of other than exceptions.
        self._all_exceptions_fail = failures == (Exception,) and ignore == () and unreachable == ()

    def __call__(self, error: BaseException) -> Outcome:
        """Classify one exception."""
        if self._all_exceptions_fail and isinstance(error, Exception):
            return FAILURE
        if _matches(error, self._ignore, every=True, default=False):
            return IGNORED
        if _matches(error, self._unreachable, every=False, default=False):
            return UNREACHABLE
        if _matches(error, self._failures, every=False, default=isinstance(error, Exception)):
            return FAILURE
        return IGNORED if isinstance(error, Exception) else CANCELLED


def result_fails(predicate: Callable[[object], bool], result: object) -> bool:
    """Ask `failure_results`; a predicate that raises says nothing against the result."""
    try:
        return bool(predicate(result))
    except Exception:  # noqa: BLE001  # a foreign predicate may raise anything
        _log.exception("failure_results raised; the result counts as a success")
        return False


def _matches(error: BaseException, matcher: Matcher, *, every: bool, default: bool) -> bool:
    if matcher == ():
        return False
    try:
        return _match(error, matcher, every=every)
    except Exception:  # noqa: BLE001  # a foreign predicate may raise anything
        _log.exception("a predicate over exceptions raised; %s", "counts as a failure" if default else "no match")
        return default


def _match(error: BaseException, matcher: Matcher, *, every: bool) -> bool:
    found = isinstance(error, matcher) if isinstance(matcher, type | tuple) else bool(matcher(error))
    if found or not isinstance(error, BaseExceptionGroup):
        return found
    leaves = (_match(leaf, matcher, every=every) for leaf in error.exceptions)
    return all(leaves) if every else any(leaves)


def checked(option: str, matcher: object) -> Matcher:
    """Accept an exception class, a tuple of them, or a predicate.

    Raises:
        TypeError: for anything else, naming the option and the value.
    """
    if isinstance(matcher, type) and issubclass(matcher, BaseException):
        return (matcher,)
    if isinstance(matcher, tuple) and all(isinstance(one, type) and issubclass(one, BaseException) for one in matcher):
        return matcher
    if isinstance(matcher, type):
        raise TypeError(f"{option}={matcher!r}: give {_WANTED}")
    predicate(option, matcher, _WANTED)
    return cast("ExceptionPredicate", matcher)
