"""Labels, fences and orders follow from the seed and give nothing away."""

from hypothesis import given
from hypothesis import strategies as st

from palaver.review import blind, prompts
from palaver.review.rubric import STANDARD
from tests.unit.review import made


@given(st.text(), st.text(), st.text())
def test_the_same_seed_gives_the_same_label_and_another_judge_another_one(seed: str, judge: str, subject: str) -> None:
    assert blind.label(seed, judge, subject) == blind.label(seed, judge, subject)
    assert blind.derive(seed, "label", judge, subject) != blind.derive(seed, "label", judge + "x", subject)


@given(st.lists(st.text(), unique=True))
def test_shuffling_keeps_every_item(items: list[str]) -> None:
    assert sorted(blind.shuffled("seed", "purpose", items)) == sorted(items)


def test_a_fence_that_occurs_in_the_text_is_passed_over() -> None:
    first = blind.fence("seed", "ada", "bob")

    assert blind.fence("seed", "ada", "bob", f"I know {first}") != first


def test_judges_see_the_criteria_in_different_orders() -> None:
    drawn_up = made.evaluation([f"judge{n}" for n in range(6)])
    systems = {
        prompts.judgment(drawn_up, judge.key, "x", "text", known_cut=False)[0]["content"]
        .split("Criteria")[1]
        .split("\n")[1]
        for judge in drawn_up.panel
    }

    assert len(systems) > 1


def test_no_name_of_a_member_provider_or_vendor_is_in_a_judges_prompt() -> None:
    names = ["zebrafish", "quokka", "axolotl"]
    drawn_up = made.evaluation(names)

    text = str(prompts.judgment(drawn_up, "zebrafish", "quokka", "A lease ends.", known_cut=True))

    assert not any(name in text.lower() for name in names)
    assert "stub" not in text
    assert all(criterion.name in text for criterion in STANDARD.criteria)


def test_a_known_cut_answer_is_flagged_to_the_judge_outside_the_fence() -> None:
    drawn_up = made.evaluation()

    flagged = prompts.judgment(drawn_up, "ada", "bob", "text", known_cut=True)[1]["content"]

    assert "cut off at its length limit" in flagged.split(">>> answer")[1]
    assert "cut off" not in prompts.judgment(drawn_up, "ada", "bob", "text", known_cut=False)[1]["content"]
