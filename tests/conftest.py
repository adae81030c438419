"""Rules that hold for every test: no skip where everything is required."""

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

_REQUIRE_ALL = "PALAVER_REQUIRE_ALL"

# A busy machine is no fault of the code: examples are counted, never timed.
settings.register_profile("palaver", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("palaver")

# Fixtures that start a real Valkey, for every part, and that join sets in either way.
pytest_plugins = ["tests.valkey", "tests.joining"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where CI says that nothing may be skipped."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(_REQUIRE_ALL) == "1":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but {_REQUIRE_ALL}=1: {report.longrepr}"
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the nightly runs out unless they are asked for by name."""
    if "nightly" in (config.option.markexpr or ""):
        return
    nightly = [item for item in items if item.get_closest_marker("nightly")]
    if nightly:
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if not item.get_closest_marker("nightly")]
