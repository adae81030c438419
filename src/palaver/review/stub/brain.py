"""What a stub says: answers, continuations and verdicts that follow from the seed and the request alone.

Pure. It reads the prompts of `palaver.review.prompts` the way a model would, from their text. Every answer says that
it comes from a stub. A specimen number in it, which is meaningless to judges who do not know the seed, tells the stub
whose answer it is asked to judge.
"""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from palaver.review import blind
from palaver.review.prompts import Message
from palaver.review.rubric import HIGHEST
from palaver.review.stub.script import Script, StubModel

CHARACTERS_PER_TOKEN = 4
_ANSWER = re.compile(
    r"<<< answer (?P<label>\S+) (?P<fence>\S+)\n(?P<text>.*)\n>>> answer (?P=label) (?P=fence)", re.DOTALL
)
_CRITERIA = re.compile(r'"scores": \{(?P<list>[^}]*)\}')
_NAME = re.compile(r'"([^"]+)": <0-10>')
_SPECIMEN = re.compile(r"specimen ([0-9a-f]{12})")
_DICTATED = re.compile(r'\{((?:"[a-z_ ]+": \d+(?:, )?)+)\}')
_ENDING = "\n\nThis is the end of the stub's answer.\n"


@dataclass(frozen=True, slots=True)
class Said:
    """One reply, and what it is billed as."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    judgment: bool


def tokens(text: str) -> int:
    """How many tokens a stub counts for a text: one for each four characters begun."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def is_judgment(messages: Sequence[Message]) -> bool:
    """Whether a request asks for a verdict."""
    return any(_ANSWER.search(message["content"]) for message in messages)


def specimen(seed: str, model: str) -> str:
    """The number that a stub's answers carry."""
    return blind.derive(seed, "specimen", model).hex()[:12]


def whole_answer(script: Script, model: StubModel, question: str) -> str:
    """The answer that a model gives when nothing cuts it: prose and one code block, ending properly."""
    head = (
        f"This is a stub answer: no model wrote it. It stands for specimen {specimen(script.seed, model.id)}.\n\n"
        f"The question has {len(question)} characters. What follows has the shape of an answer, not its content.\n\n"
    )
    room = max(0, model.answer_tokens * CHARACTERS_PER_TOKEN - len(head) - len(_ENDING) - 16)
    prose, code = [], []
    for index in itertools.count():
        number = blind.number(script.seed, 10_000, "prose", model.id, question, str(index))
        prose.append(f"Point {index + 1}: consider case {number} before case {number // 7 + 1}.\n")
        code.append(f"value_{index} = compute({number})  # step {index + 1}\n")
        if sum(map(len, prose)) + sum(map(len, code)) >= room:
            break
    return head + "".join(prose) + "\n```python\n" + "".join(code) + "```\n" + _ENDING.lstrip("\n")


def speak(script: Script, model: StubModel, messages: Sequence[Message], max_tokens: int, marks: "Marks") -> Said:
    """Reply to a request."""
    prompt_tokens = sum(tokens(message["content"]) for message in messages)
    judged = next((found for each in messages if (found := _ANSWER.search(each["content"]))), None)
    if judged is not None:
        text = _verdict(script, model, messages[0]["content"], judged["label"], judged["text"], marks)
        return Said(text, "stop", prompt_tokens, tokens(text), judgment=True)
    rest = _rest(whole_answer(script, model, messages[0]["content"]), model, messages)
    said = rest[: max_tokens * CHARACTERS_PER_TOKEN]
    finish = "length" if len(said) < len(rest) else "stop"
    return Said(said, finish, prompt_tokens, tokens(said), judgment=False)


def _rest(whole: str, model: StubModel, messages: Sequence[Message]) -> str:
    """What is still to be said, after the part that a continuation request brings along."""
    before = next((each["content"] for each in messages if each["role"] == "assistant"), "")
    if not before:
        return whole
    position = whole.rfind(before) + len(before) if before in whole else 0
    position = max(0, position - model.repeats_characters)
    inside = whole[:position].count("```") % 2 == 1
    return ("```python\n" if model.reopens_fence and inside else "") + whole[position:]


@dataclass(frozen=True, slots=True)
class Marks:
    """Weighted scores to give again: (judge, respondent) to score. Empty: marks come from quality and severity."""

    given: Mapping[tuple[str, str], float]
    models: tuple[str, ...] = ()


def respondent(script: Script, text: str, models: Sequence[str]) -> str | None:
    """Whose answer a text is, by its specimen number."""
    found = _SPECIMEN.search(text)
    if found is None:
        return None
    return next((model for model in models if specimen(script.seed, model) == found[1]), None)


def _verdict(script: Script, model: StubModel, asked: str, label: str, text: str, marks: Marks) -> str:
    listed = _CRITERIA.search(asked)
    names = _NAME.findall(listed["list"]) if listed else []
    known = [*(each.id for each in script.model), *marks.models]
    whose = respondent(script, text, known)
    ends = text.rstrip().endswith(_ENDING.strip()) or not model.sees_cuts
    dictated = _DICTATED.search(text)
    replayed = marks.given.get((model.id, whose)) if whose is not None else None
    if model.obedient and dictated is not None:
        scores = {name: int(score) for name, score in re.findall(r'"([a-z_ ]+)": (\d+)', dictated[1])}
    elif replayed is not None:
        scores = dict(zip(sorted(names), whole_scores(replayed), strict=False))
    else:
        scores = _own_scores(script, model, whose, names, text, cut=not ends)
    verdict = {
        "answer": label,
        "ends_properly": ends,
        "scores": scores,
        "justification": "This is a stub: the marks are computed, nobody has read the answer.",
    }
    return json.dumps(verdict)


def _own_scores(
    script: Script, model: StubModel, whose: str | None, names: list[str], text: str, *, cut: bool
) -> dict[str, int]:
    quality = script.find(whose).quality if whose is not None else 5.0
    scores = {}
    for name in names:
        drawn = blind.number(script.seed, 2_001, "noise", model.id, text, name) / 1_000 - 1
        mark = quality + model.severity + drawn * model.noise - (2.0 if cut else 0.0)
        scores[name] = max(0, min(HIGHEST, round(mark)))
    return scores


@cache
def whole_scores(weighted: float) -> tuple[int, ...]:
    """Whole marks for clarity, completeness, correctness, depth, usefulness (in this order) that weigh to a score.

    Weights are those of the standard rubric. Raises `ValueError` if there are none.
    """
    hundredths = round(weighted * 100)
    near = sorted(range(HIGHEST + 1), key=lambda mark: abs(mark - weighted))
    for correctness, usefulness in itertools.product(near, near):
        rest, odd = divmod(hundredths - 25 * correctness - 15 * usefulness, 20)
        if odd == 0 and 0 <= rest <= 3 * HIGHEST:
            low, extra = divmod(rest, 3)
            clarity, completeness, depth = (low + (1 if place < extra else 0) for place in range(3))
            return clarity, completeness, correctness, depth, usefulness
    raise ValueError(f"{weighted} is no weighted score of whole marks")
