"""The measured reports say the same in each form, and nothing that models wrote gets out of its place."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import msgspec
import pytest

from palaver.review import profile
from palaver.review.profile import Dossier
from palaver.review.records import Spent
from palaver.review.reports import csv as tables
from palaver.review.reports import html, markdown
from palaver.review.reports import json as data
from tests.unit.review import dossiers, made

VOID = {"meta", "circle", "line", "br"}


class _Page(HTMLParser):
    """Reads a page strictly: every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _read(text: str) -> _Page:
    page = _Page()
    page.feed(text)
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def eventful() -> Dossier:
    return dossiers.of_eventful()


@pytest.fixture(scope="module")
def seed() -> Dossier:
    return dossiers.of_seed()


def test_the_page_is_self_contained(eventful: Dossier) -> None:
    page = _read(html.render(eventful))

    assert not {"script", "img", "link", "iframe", "object", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "style")]
    assert all(value is not None and value.startswith("#") for name, value in page.attributes if name == "href")


def test_every_answer_and_every_judgment_can_be_read_as_it_is(eventful: Dossier) -> None:
    page = _read(html.render(eventful))

    for answer in eventful.grid.answers:
        assert (answer.text or "(no text)") in page.texts
    said = [cell.justification for cell in eventful.grid.cells if cell.score is not None]
    assert all(each in page.texts for each in said)
    assert dossiers.HOSTILE in page.texts


def test_each_mark_of_the_heat_map_leads_to_its_judgment(eventful: Dossier) -> None:
    page = _read(html.render(eventful))

    targets = [value for name, value in page.attributes if name == "id"]
    links = [value for name, value in page.attributes if name == "href"]
    assert len(links) == eventful.grid.scored
    assert sorted(f"#{target}" for target in targets) == sorted(str(link) for link in links)
    assert page.tags.count("svg") == len(eventful.measured.lines)


def test_missing_cells_say_why_and_cut_answers_are_named(eventful: Dossier) -> None:
    for text in (html.render(eventful), markdown.render(eventful)):
        assert "1 without marks: it is empty." in text
        assert "4 without marks: answer refused." in text
        assert "Ada: cut (at its limit), and judged as such." in text
        assert "Bob: was cut, continued and joined from 2 parts." in text
        assert "Cyd: no answer (refused: refused)." in text
        assert "2 people gave 4 votes" in text


def test_the_limits_and_the_separability_are_said_in_each_report(seed: Dossier) -> None:
    for text in (html.render(seed), markdown.render(seed)):
        assert "it is not separable from" in text
        assert "orders near-equals poorly" in text
        assert "8.64" in text
        assert "won by the published rule" in text


def test_a_sparse_evaluation_names_no_winner_and_says_why_not() -> None:
    sparse = dossiers.of_seed("EVAL-20260402-132144")

    assert "Nobody won by the published rule" in markdown.render(sparse)
    assert "read the first place with care" in markdown.render(sparse)


def test_markdown_from_models_does_nothing(eventful: Dossier) -> None:
    text = markdown.render(eventful)

    assert "<script" not in text
    tables_of = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in tables_of}) <= 4


def test_json_has_the_published_form_beside_the_measured_figures(seed: Dossier) -> None:
    whole = json.loads(data.render(seed))

    assert whole["published"]["avg_score"] == 7.065
    assert whole["measured"]["leader"] == "gemini_3_flash"
    assert len(whole["grid"]["cells"]) == 90
    assert whole["people"] is None
    assert json.loads(data.statistics(seed.measured)) == whole["measured"]
    assert json.loads(data.grid(seed.grid)) == whole["grid"]


def test_csv_has_a_row_for_each_cell_and_no_formulas(eventful: Dossier) -> None:
    rows = list(csv.DictReader(io.StringIO(tables.render(eventful, "marks"), newline="")))

    assert len(rows) == 25
    by_cell = {(row["judge"], row["respondent"]): row for row in rows}
    assert by_cell["eve", "ada"]["justification"] == dossiers.HOSTILE
    assert by_cell["dee", "ada"]["score"] == ""
    assert by_cell["dee", "ada"]["reason"] == "it is empty"
    assert tables._cell("=1+1") == "'=1+1"


@pytest.mark.parametrize(("table", "rows"), [("ranking", 10), ("judges", 10)])
def test_csv_of_the_ranking_and_of_the_judges(seed: Dossier, table: tables.Table, rows: int) -> None:
    found = list(csv.DictReader(io.StringIO(tables.render(seed, table), newline="")))

    assert len(found) == rows
    assert all(row["name"] for row in found)


def test_an_evaluation_without_any_mark_is_reported_too() -> None:
    empty = profile.of_matrix(made.matrix(made.evaluation()))

    assert "cannot be compared" in markdown.render(empty)
    _read(html.render(empty))
    assert json.loads(data.render(empty))["measured"]["comparable"] is False
    assert tables.render(empty, "ranking").startswith("key,name,status")


def test_a_model_that_was_not_the_one_asked_for_is_named() -> None:
    drawn_up = made.evaluation()
    other = msgspec.structs.replace(made.part("ada", made.PASSAGE), spent=Spent(completion_tokens=9, model="ada-mini"))
    same = msgspec.structs.replace(made.part("bob", made.PASSAGE), spent=Spent(completion_tokens=9, model="bob"))

    found = profile.of_matrix(made.matrix(drawn_up, other, same))

    for text in (html.render(found), markdown.render(found)):
        assert "Ada: ada was asked for, ada-mini was served." in text
        assert "Bob: bob" not in text


def test_equal_dossiers_give_equal_bytes(eventful: Dossier) -> None:
    again = dossiers.of_eventful()

    for render in (html.render, markdown.render, data.render, tables.render):
        assert render(eventful) == render(again)
