"""What the server writes into its log, on stderr: one line per event, for people or as JSON.

Refuses to do: write a secret. Values under the names in `SECRETS` are blotted out, tracebacks come without local
variables, and the libraries' own loggers are held above the level at which they print headers and frames.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

SECRETS = frozenset({"authorization", "cookie", "key", "password", "secret", "session", "text", "token"})
BLOT = "[not logged]"

# Loggers of libraries that print what peers send when they are let below this level.
_HELD = ("asyncio", "aiohttp", "websockets", "palaver.websocket")


def configure(
    format_: Literal["auto", "console", "json"], level: Literal["debug", "info", "warning", "error"], stream: TextIO
) -> None:
    """Set up structlog and the standard library's logging for this process. `auto` is console on a terminal."""
    console = format_ == "console" or (format_ == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        blot_secrets,
    ]
    last: list[Processor]
    if console:
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared], processors=[remove, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _HELD:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def to_stderr(format_: Literal["auto", "console", "json"], level: Literal["debug", "info", "warning", "error"]) -> None:
    """`configure` for this process's stderr."""
    configure(format_, level, sys.stderr)


def blot_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values whose name says that they are nobody's business."""
    for name in event.keys() & SECRETS:
        event[name] = BLOT
    return event
