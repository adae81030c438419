"""Tables of marks for tests: the two published evaluations, and made-up ones."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from palaver.review.published import Published, decode
from palaver.review.ranking import Mark
from palaver.review.statistics.table import Table, tabulate

EXAMPLES = Path(__file__).parents[4] / "examples" / "review"
FULL, SPARSE = "EVAL-20260402-133034", "EVAL-20260402-132144"


def published(name: str) -> Published:
    """A published evaluation."""
    return decode((EXAMPLES / f"{name}.json").read_bytes())


def marks(name: str) -> list[Mark]:
    """Its marks."""
    return [Mark(cell.judge_key, cell.respondent_key, cell.weighted_score) for cell in published(name).judgments]


def names(name: str) -> dict[str, str]:
    """Its models' names."""
    return {model.id: model.name for model in published(name).models_used}


def additive(judges: int, respondents: int, seed: int = 1, noise: float = 0.0) -> tuple[Table, np.ndarray, np.ndarray]:
    """A square table without its diagonal, made from known merits and severities (both with mean 0)."""
    draw = np.random.default_rng(seed)
    merits, severities = draw.normal(size=respondents), draw.normal(size=judges)
    merits, severities = merits - merits.mean(), severities - severities.mean()
    grid = 6 + merits + severities[:, None] + noise * draw.normal(size=(judges, respondents))
    keys = [f"m{index}" for index in range(max(judges, respondents))]
    found = [Mark(keys[j], keys[r], float(grid[j, r])) for j in range(judges) for r in range(respondents) if j != r]
    table = tabulate(found)
    places = [keys.index(key) for key in table.respondents]
    return table, merits[places], severities


ANY_MARKS = st.dictionaries(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), st.integers(0, 20).map(lambda half: half / 2)
).map(lambda cells: [Mark(judge, key, score) for (judge, key), score in cells.items() if judge != key])
