"""The decorator: one wrapper for each kind of function, and the choice between them, made once.

A wrapper has the kind of what it wraps, so that `inspect` and frameworks see no difference. Every wrapper does the
same three things: take a ticket, run, settle. The exception of the wrapped function always comes out unchanged.
"""

import functools
import inspect
from collections.abc import Callable, Coroutine
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final, NoReturn, ParamSpec, TypeVar, cast

from palaver.breaker import stream
from palaver.breaker.engine import Engine
from palaver.breaker.errors import WrongKindError
from palaver.breaker.tickets import Ticket

P = ParamSpec("P")
R = TypeVar("R")
STREAMS: Final = frozenset({GeneratorType, AsyncGeneratorType})


def guarded(engine: Engine, function: Callable[P, R]) -> Callable[P, R]:
    """Return a function of the same kind and signature that runs under the breaker.

    Raises:
        TypeError: if `function` cannot be called.
    """
    if isinstance(function, classmethod | staticmethod):
        return cast("Callable[P, R]", type(function)(guarded(engine, function.__func__)))
    inner: Any = function
    if not callable(inner) or inspect.isclass(inner):
        raise TypeError(f"{function!r}: a breaker wraps functions, methods and objects with a __call__ method")
    # Of an object with __call__, and of a partial, the kind is that of what will run.
    while isinstance(inner, functools.partial):
        inner = inner.func
    if not inspect.isroutine(inner) and not inspect.iscoroutinefunction(inner):  # some objects are marked as one
        inner = type(inner).__call__
    wrapper: Any
    if inspect.isasyncgenfunction(inner):
        wrapper = stream.async_generator(engine, cast("Any", function))
    elif inspect.iscoroutinefunction(inner):
        wrapper = _coroutine(engine, cast("Any", function))
    elif inspect.isgeneratorfunction(inner):
        wrapper = stream.generator(engine, cast("Any", function))
    else:
        wrapper = _plain(engine, function)
    return cast("Callable[P, R]", functools.update_wrapper(wrapper, function))


def _plain(engine: Engine, function: Callable[P, R]) -> Callable[P, R]:
    core, clock, admit, succeed, fail = engine.core, engine.clock, engine.admit, engine.succeed, engine.fail
    judges_results, finish, rejection = engine.result_predicate is not None, engine.finish, engine.rejection
    coroutine = CoroutineType

    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        ticket: Ticket | None = core.door
        if ticket is None:
            now = clock()
            if (wait := core.shut_until - now) > 0:
                raise rejection(now, wait)  # here, because each frame that it passes costs as much as a lock
            ticket = admit()
        started = clock()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            fail(ticket, started, error)
            raise
        if type(result) is coroutine:
            refuse_coroutine(engine, ticket, started, function, result)
        if judges_results:
            finish(ticket, started, result)
        else:
            succeed(ticket, started)
        return result

    return wrapper


def _coroutine(engine: Engine, function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    core, clock, admit, succeed, fail = engine.core, engine.clock, engine.admit, engine.succeed, engine.fail
    judges_results, finish, rejection = engine.result_predicate is not None, engine.finish, engine.rejection

    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        ticket: Ticket | None = core.door
        if ticket is None:
            now = clock()
            if (wait := core.shut_until - now) > 0:
                raise rejection(now, wait)  # here, because each frame that it passes costs as much as a lock
            ticket = admit()
        started = clock()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            fail(ticket, started, error)
            raise
        if judges_results:
            finish(ticket, started, result)
        else:
            succeed(ticket, started)
        return result

    return wrapper


def refuse_coroutine(engine: Engine, ticket: Ticket, started: float, function: object, result: object) -> NoReturn:
    """Close the coroutine, give the ticket back, and say what is wrong."""
    cast("Coroutine[Any, Any, Any]", result).close()
    engine.release(ticket, started)
    raise WrongKindError(
        f"{function!r} is a plain function, but it returned a coroutine, whose outcome nobody would see: "
        "declare it with `async def`, or await it inside"
    )


def refuse_generator_function(function: object) -> None:
    """Say that calling it begins nothing, so that there is no outcome yet; a generator of another's may pass.

    Raises:
        WrongKindError: if `function` is a generator function, async or not.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise WrongKindError(f"{function!r} is a generator function, which fails after the call if at all: decorate it")
