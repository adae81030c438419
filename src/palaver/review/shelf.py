"""Evaluations on disk, whatever they are kept as: a folder with journals, an imported folder, a published file alone.

Reading only. It opens files and computes nothing but what is asked for.

    EVAL-.../journal/           an evaluation of our own (`folder.py`)
    EVAL-.../published.json     an imported one: the published file as it came, byte for byte
    results.json                a published file
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from palaver.review.errors import FormatError, LedgerError
from palaver.review.folder import Folder
from palaver.review.matrix import Matrix
from palaver.review.published import Published, decode, encode
from palaver.review.ranking import Mark
from palaver.review.results import publish

PUBLISHED = "published.json"


@dataclass(frozen=True)
class Entry:
    """One evaluation. `matrix` is `None` for a published file, of which no more is known than it says."""

    path: Path
    matrix: Matrix | None
    imported: Published | None = None

    @cached_property
    def published(self) -> Published:
        """The published form."""
        if self.matrix is not None:
            return publish(self.matrix)
        assert self.imported is not None
        return self.imported

    @property
    def category(self) -> str:
        """The category of its question."""
        return self.published.category if self.matrix is None else self.matrix.evaluation.question.category

    @property
    def id(self) -> str:
        """The evaluation's id."""
        return self.published.evaluation_id if self.matrix is None else self.matrix.evaluation.id

    @cached_property
    def marks(self) -> tuple[Mark, ...]:
        """Every mark, a genuine 0 among them where it is known."""
        if self.matrix is None:
            given = self.published.judgments
            return tuple(Mark(cell.judge_key, cell.respondent_key, cell.weighted_score) for cell in given)
        scored = self.matrix.scored
        return tuple(Mark(cell.judge, cell.subject, cell.score) for cell in scored if cell.score is not None)

    @cached_property
    def names(self) -> dict[str, str]:
        """The members' names by key."""
        if self.matrix is not None:
            return {member.key: member.name for member in self.matrix.evaluation.panel}
        found = {cell.respondent_key: cell.respondent_name for cell in self.published.judgments}
        return found | {cell.judge_key: cell.judge_name for cell in self.published.judgments}


def find(paths: Iterable[Path]) -> list[Path]:
    """Where the evaluations at these paths are: each itself, or those in it, by name. Raises `FormatError`."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_file() or _is_evaluation(path):
            found[path] = None
        elif path.is_dir():
            found |= dict.fromkeys(sorted(each for each in path.iterdir() if _is_evaluation(each)))
        else:
            raise FormatError(str(path), "there is neither a file nor a folder")
    return list(found)


def _is_evaluation(path: Path) -> bool:
    return (path / "journal").is_dir() or (path / PUBLISHED).is_file()


def read(path: Path) -> Entry:
    """Read one evaluation. Raises `FormatError` or `LedgerError`."""
    if (path / "journal").is_dir():
        return Entry(path, Folder(path, "reader", lambda: 0).matrix())
    file = path / PUBLISHED if path.is_dir() else path
    return Entry(path, None, decode(file.read_bytes(), str(file)))


def read_all(paths: Iterable[Path]) -> list[Entry]:
    """Read every evaluation at these paths."""
    return [read(path) for path in find(paths)]


def take_in(root: Path, text: bytes, where: str) -> Path:
    """Keep a published file as an evaluation under `root`, byte for byte. Returns its folder.

    Raises `FormatError` if it is none, and `LedgerError` if another one is there under its id.
    """
    document = decode(text, where)
    name = document.evaluation_id
    if not name or Path(name).name != name or name.startswith("."):
        raise FormatError(where, f"the evaluation id {name!r} cannot be the name of a folder")
    path = root / name
    if _is_evaluation(path):
        kept = read(path)
        if kept.matrix is None and encode(kept.published) == encode(document):
            return path
        raise LedgerError(f"{path} holds another evaluation with this id; import it into another folder with --out.")
    path.mkdir(parents=True, exist_ok=True)
    partial = path / (PUBLISHED + ".partial")
    partial.write_bytes(text)
    partial.replace(path / PUBLISHED)
    return path
