"""Runs what asks for it twice: with sets joined in Python, and with sets joined by the compiled form of the same."""

from collections.abc import Iterator
from importlib import import_module

import pytest

from palaver.crdt import replica

NAMES = {"python": "palaver.crdt.joining", "compiled": "palaver.crdt._joining"}


@pytest.fixture(scope="module", params=NAMES)
def joining(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every set joins in the one way, then in the other."""
    try:
        way = import_module(NAMES[request.param])
    except ImportError:
        pytest.skip("palaver.crdt._joining is not built: there is no C compiler or no Python.h here")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("join_few", "join_many"):
            patch.setattr(replica, name, getattr(way, name))
        yield
