import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from palaver.server.journal import BLOT, SECRETS, configure


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Logging is one for the whole process: put it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    held = {name: logging.getLogger(name).level for name in ("asyncio", "aiohttp", "websockets", "palaver.websocket")}
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in held.items():
        logging.getLogger(name).setLevel(before)


def test_json_is_one_object_in_a_line_with_time_and_level() -> None:
    out = io.StringIO()
    configure("json", "info", out)
    structlog.get_logger().info("listening", port=8000)
    event = json.loads(out.getvalue())
    assert (event["event"], event["level"], event["port"]) == ("listening", "info", 8000)
    assert event["timestamp"].endswith("Z")


def test_auto_is_json_where_nobody_looks() -> None:
    out = io.StringIO()
    configure("auto", "info", out)
    structlog.get_logger().info("listening")
    assert json.loads(out.getvalue())


def test_the_console_form_is_one_line_for_people() -> None:
    out = io.StringIO()
    configure("console", "info", out)
    structlog.get_logger().warning("canary_lost", problem="no answer")
    assert "canary_lost" in out.getvalue()
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()


def test_below_the_level_nothing_is_written() -> None:
    out = io.StringIO()
    configure("json", "warning", out)
    structlog.get_logger().info("listening")
    logging.getLogger("some.library").info("chatter")
    assert out.getvalue() == ""


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_secret_that_is_passed_by_mistake_is_blotted_out(name: str, format_: str) -> None:
    out = io.StringIO()
    configure("json" if format_ == "json" else "console", "info", out)
    structlog.get_logger().info("mistake", **{name: "hush"})
    assert "hush" not in out.getvalue()
    assert BLOT in out.getvalue()


def stumble(secret: str) -> None:
    raise RuntimeError(f"of {len(secret)} letters")


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_traceback_shows_no_local_variables(format_: str) -> None:
    out = io.StringIO()
    configure("json" if format_ == "json" else "console", "info", out)
    try:
        stumble("hu" + "sh")
    except RuntimeError as error:
        structlog.get_logger().error("fault", exc_info=error)
        logging.getLogger("some.library").exception("fault")
    assert out.getvalue().count("of 4 letters") == 2
    assert "hush" not in out.getvalue()


def test_libraries_write_in_the_same_form() -> None:
    out = io.StringIO()
    configure("json", "info", out)
    logging.getLogger("some.library").warning("it is %s", "late")
    event = json.loads(out.getvalue())
    assert (event["event"], event["logger"], event["level"]) == ("it is late", "some.library", "warning")


@pytest.mark.parametrize("name", ["palaver.websocket", "websockets.client", "aiohttp.server", "asyncio"])
def test_loggers_that_print_what_peers_send_stay_silent_also_for_debugging(name: str) -> None:
    out = io.StringIO()
    configure("json", "debug", out)
    logging.getLogger(name).debug("< Authorization: Bearer hush")
    logging.getLogger(name).info("connection open")
    assert out.getvalue() == ""
