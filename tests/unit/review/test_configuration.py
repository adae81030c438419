"""Question banks, models files and rubrics: read strictly, and every refusal says what to change."""

import pytest

from palaver.review import bank, roster, rubric
from palaver.review.errors import ConfigurationError
from palaver.review.rubric import STANDARD
from tests.unit.review import made

BANK = """
[[question]]
id = "A"
category = "code"
text = "One?"
[[question]]
id = "B"
text = "Two?"
[[question]]
id = "C"
category = "code"
text = "Three?"
"""
PROVIDER = '[[provider]]\nname = "p"\nbase_url = "http://127.0.0.1:1/v1"\n'
MODEL = '[[model]]\nkey = "m"\nprovider = "p"\nid = "m-1"\n'
PANEL = tuple(made.member(key) for key in ("ada", "bob", "cyd", "dee"))


def test_a_bank_keeps_its_order_and_is_picked_from_by_id_and_category() -> None:
    found = bank.parse(BANK)

    assert [each.id for each in found.pick()] == ["A", "B", "C"]
    assert [each.id for each in found.pick(("C", "B"))] == ["B", "C"]
    assert [each.id for each in found.pick((), ("code",))] == ["A", "C"]
    assert [each.id for each in found.pick(("B",), ("code",))] == ["A", "B", "C"]
    assert found.question[1].category == "general"


def test_a_question_that_is_not_in_the_bank_is_named() -> None:
    with pytest.raises(ConfigurationError, match="No question X, Y"):
        bank.parse(BANK).pick(("A", "X", "Y"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("question = 1", "cannot be read"),
        (BANK + '[[question]]\nid = "A"\ntext = "again"', "A is given twice"),
        ('[[question]]\nid = "A"\ntext = "  "', "A has no text"),
        ('[[question]]\nid = "../A"\ntext = "x"', "letters, digits"),
        ('[[question]]\nid = "A"\ntext = "x"\n[extra]', "unknown field `extra`"),
        ('[[question]]\nid = "A"\ntext = "x"\ncategry = "code"', "unknown field `categry`"),
    ],
)
def test_a_bank_that_is_wrong_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        bank.parse(text)


def _drawn_up(**options: object) -> object:
    return bank.evaluation(
        bank.parse(BANK).question[0], PANEL, STANDARD, created="2026-04-02T13:30:34.106Z", seed="s", version="v",
        **options,  # type: ignore[arg-type]  # handed through
    )  # fmt: skip


def test_an_evaluation_is_named_by_its_time() -> None:
    assert getattr(_drawn_up(), "id", "") == "EVAL-20260402-133034"


def test_in_a_head_to_head_the_two_do_not_judge_and_the_rest_does_not_answer() -> None:
    found = _drawn_up(head_to_head=("bob", "dee"))

    assert [(each.key, each.answers, each.judges) for each in found.panel] == [  # type: ignore[attr-defined]  # an Evaluation
        ("ada", False, True), ("bob", True, False), ("cyd", False, True), ("dee", True, False),
    ]  # fmt: skip


@pytest.mark.parametrize("two", [("ada", "ada"), ("ada", "zoe"), ("zoe", "yan")])
def test_a_head_to_head_needs_two_members(two: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="two different members"):
        _drawn_up(head_to_head=two)


@pytest.mark.parametrize("size", [0, 1])
def test_a_panel_on_which_nobody_can_judge_another_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match="nobody to judge"):
        bank.evaluation(bank.parse(BANK).question[0], PANEL[:size], STANDARD, created="2026", seed="s", version="v")


def test_nobody_is_on_a_panel_twice() -> None:
    with pytest.raises(ConfigurationError, match="on the panel twice"):
        bank.evaluation(bank.parse(BANK).question[0], PANEL[:2] * 2, STANDARD, created="2026", seed="s", version="v")


def test_a_models_file_gives_a_panel_in_the_order_that_is_asked_for() -> None:
    found = roster.parse(PROVIDER + MODEL + MODEL.replace('"m"', '"n"'))

    assert [member.key for member in found.panel()] == ["m", "n"]
    assert [member.key for member in found.panel(("n", "m"))] == ["n", "m"]
    assert found.panel()[0].name == "m"
    with pytest.raises(ConfigurationError, match="No model x in the models file; it has m, n"):
        found.panel(("x",))


def test_a_price_is_exact_in_nanodollars_for_each_token() -> None:
    found = roster.parse(PROVIDER + MODEL + "price = { prompt = 0.15, completion = 12.345 }")

    price = found.model[0].price.price
    assert (price.prompt, price.completion) == (150, 12_345)
    assert price.of(1_000_000, 1_000_000) == round((0.15 + 12.345) * 1_000_000_000)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (MODEL, "provider"),
        (PROVIDER + MODEL + MODEL, "model m is given twice"),
        (PROVIDER + PROVIDER + MODEL, "provider p is given twice"),
        (PROVIDER + MODEL.replace('"p"', '"q"'), "names provider 'q', which is not in the file"),
        (PROVIDER.replace("http://", "ftp://") + MODEL, "must be http"),
        (PROVIDER + "in_flight = 0\n" + MODEL, "in_flight = 0; it must be more than 0"),
        (PROVIDER + "deadline_seconds = -1.0\n" + MODEL, "deadline_seconds"),
        (PROVIDER + MODEL + 'prise = "1"', "unknown field `prise`"),
        (PROVIDER + "in_fligt = 3\n" + MODEL, "unknown field `in_fligt`"),
    ],
)
def test_a_models_file_that_is_wrong_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        roster.parse(text)


def _rubric(*weights: int, names: str = "abcdef") -> str:
    criteria = zip(names, weights, strict=False)
    return 'id = "r"\n' + "".join(
        f'[[criteria]]\nname = "{name}"\nweight = {weight}\ndescription = "d"\n' for name, weight in criteria
    )


def test_a_rubrics_digest_changes_with_every_word_and_weight() -> None:
    texts = [_rubric(60, 40), _rubric(40, 60), _rubric(60, 40, names="ac"), 'instructions = "i"\n' + _rubric(60, 40)]

    assert len({rubric.fingerprint(rubric.parse(text)) for text in texts}) == 4
    assert rubric.fingerprint(rubric.parse(texts[0])) == rubric.fingerprint(rubric.parse(texts[0]))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('id = "r"\ncriteria = []', "no criteria"),
        (_rubric(60, 41), "add up to 101"),
        (_rubric(100, 0), "weight is at least 1"),
        (_rubric(50, 50, names="aa"), "names a twice"),
        (_rubric(100).replace("100", "100.5"), "cannot be read"),
        (_rubric(100) + "wieght = 3\n", "unknown field `wieght`"),
        ('instruction = "i"\n' + _rubric(100), "unknown field `instruction`"),
    ],
)
def test_a_rubric_that_is_wrong_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        rubric.parse(text)


def test_the_standard_rubric_weighs_as_the_published_files_do() -> None:
    assert [(each.name, each.weight) for each in STANDARD.criteria] == [
        ("correctness", 25), ("completeness", 20), ("clarity", 20), ("depth", 20), ("usefulness", 15),
    ]  # fmt: skip
    assert rubric.weighted(STANDARD, (8, 7, 9, 6, 10)) == 7.9
