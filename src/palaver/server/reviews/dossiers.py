"""Reports and statistics of evaluations whose results are out: computed in a thread, the newest few kept.

Refuses to do: anything with an evaluation that is still blind; the callers see to that. Invariant: one evaluation is
measured once at a time, however many ask for it.
"""

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from palaver.review.matrix import Matrix

if TYPE_CHECKING:
    from palaver.review.profile import Dossier

KEPT = 16


class Dossiers:
    """Dossiers by evaluation and by what is known of it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int, int], Dossier] = OrderedDict()
        self._measuring = asyncio.Lock()

    async def of(self, matrix: Matrix) -> "Dossier":
        """The dossier of a matrix. Takes up to some seconds of another thread's time."""
        key = (matrix.evaluation.id, matrix.calls, len(matrix.votes))
        async with self._measuring:
            if key not in self._kept:
                self._kept[key] = await asyncio.to_thread(_measure, matrix)
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def _measure(matrix: Matrix) -> "Dossier":
    from palaver.review import profile  # numpy is loaded when somebody wants a report, not when the server starts

    return profile.of_matrix(matrix)
