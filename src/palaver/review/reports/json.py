"""The measured profile as JSON: statistics, grid, and both together. NaN and infinity become `null`.

Pure: equal dossiers give equal bytes.
"""

import msgspec

from palaver.review.grid import Grid
from palaver.review.profile import Dossier
from palaver.review.statistics.measured import Measured


def statistics(measured: Measured) -> bytes:
    """The measured figures alone."""
    return _indented(measured)


def grid(shown: Grid) -> bytes:
    """Members, answers and cells."""
    return _indented(shown)


def render(dossier: Dossier) -> bytes:
    """The whole report: the published form, the grid, the measured figures, and the people's votes."""
    return _indented(
        {
            "published": dossier.published,
            "grid": dossier.grid,
            "measured": dossier.measured,
            "people": dossier.people,
        }
    )


def _indented(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
