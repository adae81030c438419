"""Recomputes a published result file and names each figure that differs.

It looks at one file's text and says what is wrong with it. It corrects nothing and reads no other source.

Invariant: an empty list means that every computed field follows from the judgments and that the text is, byte for byte,
the published form of its own content.
"""

from dataclasses import dataclass

import msgspec

from palaver.review.errors import FormatError
from palaver.review.numbers import exact
from palaver.review.published import JUSTIFICATION_CHARACTERS, Derived, Published, decode, derive, encode

_SCORE_STEP = exact(0.05)


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that does not follow from the judgments. `field` is a path such as `rankings.grok.rank`."""

    field: str
    published: str
    computed: str

    def __str__(self) -> str:
        return f"{self.field}: published {self.published}, computed {self.computed}"


def check(text: str, where: str = "result file") -> list[Difference]:
    """Compare every computed field of a result file with its value derived from the judgments.

    Raises `FormatError` if the text is not a result file at all.
    """
    document = decode(text, where)
    providers = {model.id: model.provider for model in document.models_used}
    try:
        derived = derive(document.judgments, providers, document.timestamp)
    except (ValueError, IndexError) as error:
        raise FormatError(where, f"timestamp {document.timestamp!r} is not an ISO date: {error}") from error
    differences = [*_judgments(document), *_computed(document, derived)]
    if not differences and encode(document) != text:
        differences.append(_first_difference(text, encode(document)))
    return differences


def _computed(document: Published, derived: Derived) -> list[Difference]:
    found: list[Difference] = []
    for field in ("display_date", "winner", "avg_score", "matrix_size", "models_used", "rankings"):
        before, after = msgspec.to_builtins(getattr(document, field)), msgspec.to_builtins(getattr(derived, field))
        found += _compare(field, before, after)
    return found


def _compare(path: str, before: object, after: object) -> list[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        if list(before) != list(after):
            found.append(Difference(path, " ".join(before) or "nothing", " ".join(after) or "nothing"))
        for key in before.keys() & after.keys():
            found += _compare(f"{path}.{key}", before[key], after[key])
        return sorted(found, key=lambda difference: difference.field)
    if isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [each for index, (old, new) in pairs for each in _compare(f"{path}[{index}]", old, new)]
    return [] if before == after else [Difference(path, _show(before), _show(after))]


def _show(value: object) -> str:
    return "null" if value is None else str(value)


def _judgments(document: Published) -> list[Difference]:
    found: list[Difference] = []
    seen: set[tuple[str, str]] = set()
    for index, cell in enumerate(document.judgments):
        where = f"judgments[{index}]"
        pair = (cell.judge_key, cell.respondent_key)
        score = exact(cell.weighted_score)
        if cell.judge_key == cell.respondent_key:
            found.append(Difference(f"{where}.judge_key", cell.judge_key, "no member judges its own answer"))
        if pair in seen:
            found.append(Difference(where, f"{pair[0]} judges {pair[1]} again", "one judgment for each cell"))
        if not 0 < score <= 10 or score % _SCORE_STEP:
            found.append(Difference(f"{where}.weighted_score", str(cell.weighted_score), "a multiple of 0.05 up to 10"))
        if len(cell.brief_justification) > JUSTIFICATION_CHARACTERS:
            length = len(cell.brief_justification)
            found.append(Difference(f"{where}.brief_justification", f"{length} characters", "at most 500"))
        seen.add(pair)
    return found


def _first_difference(text: str, canonical: str) -> Difference:
    pairs = zip(text.split("\n"), canonical.split("\n"), strict=False)
    for number, (old, new) in enumerate(pairs, start=1):
        if old != new:
            return Difference(f"text, line {number}", repr(old), repr(new))
    return Difference("text, end", f"{len(text)} characters", f"{len(canonical)} characters")
