# ruff: noqa: RUF001 - letters that look alike are what this file is about

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.chat.names import NAME_CHARS, ROOM_CHARS, is_blank, name_problem, room_problem, skeleton, text_problem


@pytest.mark.parametrize(
    "room", ["lobby", "Lobby", "team-a_1.2:x~y@z+w", "a", "ä" * ROOM_CHARS, "комната", "部屋", "v1.0"]
)
def test_a_room_may_be_named(room: str) -> None:
    assert room_problem(room) is None


@pytest.mark.parametrize(
    "room",
    [
        "",
        "a" * (ROOM_CHARS + 1),
        "a b",
        "a/b",
        "a\n",
        "\u202eabc",
        "#x",
        "a\u0301",
        "ａ",
        ".",
        "..",
        "\u0301",
        "a\ud800",
        "😀",
    ],
)
def test_a_room_may_not_be_named(room: str) -> None:
    assert room_problem(room)


@pytest.mark.parametrize(
    "name",
    ["ada", "Ada Lovelace", "O'Brien", "jean-luc", "a_b.c", "x", "7", "José", "Jose\u0301", "Ада", "Ἀθηνᾶ", "李小龙",
     "さくらタロー", "山田Taro", "김철수", "علي", "अनिता", "a" * NAME_CHARS],
)  # fmt: skip
def test_a_person_may_be_named(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "name",
    ["", " ", "a" * (NAME_CHARS + 1), " ada", "ada ", "ada-", "a  b", "a-_b", "a\tb", "a\u200bb", "\u202eada", "a@b",
     "😀", "a\u0301\u0302\u0303\u0304", "\u0301a", "a\x00", "a\ud800", "<b>", "a\u00a0\u00a0b"],
)  # fmt: skip
def test_a_person_may_not_be_named(name: str) -> None:
    assert name_problem(name)


@pytest.mark.parametrize("name", ["аda", "paypаl", "Ωmega", "김철수タ", "αбв"])
def test_a_name_of_several_scripts_is_refused(name: str) -> None:
    problem = name_problem(name)
    assert problem
    assert "one script" in problem


@pytest.mark.parametrize(
    ("one", "other"),
    [("ada", "ADA"), ("Alice", "AIice"), ("alice", "a1ice"), ("bob", "b0b"), ("José", "Jose\u0301"), ("sec", "ѕес"),
     ("modern", "modem"), ("Κ", "k"), ("ﬁn", "fin"), ("ａda", "ada"), ("Straße", "STRASSE"),
     ("ada5", "ada\u0665"), ("РЕТЯ", "ретя")],
)  # fmt: skip
def test_names_that_look_alike_have_one_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"), [("ada", "eda"), ("ada1", "ada2"), ("user1", "user"), ("a-b", "a_b"), ("李", "王")]
)
def test_names_that_look_different_have_different_skeletons(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


@given(st.text(max_size=40))
def test_case_and_composition_never_change_a_skeleton(name: str) -> None:
    expected = skeleton(name)
    assert skeleton(unicodedata.normalize("NFD", name)) == expected
    assert skeleton(name.casefold()) == expected


@given(st.text(st.characters(), max_size=70))
def test_no_string_makes_a_check_raise(anything: str) -> None:
    for problem in (room_problem(anything), name_problem(anything), text_problem(anything, 10)):
        assert problem is None or problem.endswith(".")
    skeleton(anything)


@pytest.mark.parametrize("text", ["x", " x ", "a\nb\tc\r\n", "😀", "x" * 10, "\u202eabc"])
def test_a_text_may_be_sent(text: str) -> None:
    assert text_problem(text, 10) is None


def test_what_is_not_allowed_is_told_what_is() -> None:
    assert room_problem("a b") == (
        "The character U+0020 is not allowed: use letters, digits and the characters - _ . : ~ @ +."
    )
    assert name_problem("ada!") == (
        "The character U+0021 is not allowed: use letters, digits and a space, - _ . or ' between them."
    )


INVISIBLE = (
    "\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u202a\u202e\u2066\u2069\u061c\u00ad\u034f\u3164\uffa0\u115f\u1160\u2800"
    "\ufe0f\u180e\u2062\ufff9\U000e0041\U000e0100\U0001d173\U0001d159\u17b4\u00a0\u2003\u3000\u2028"
)


@pytest.mark.parametrize("char", INVISIBLE, ids=lambda char: f"U+{ord(char):04X}")
def test_a_text_that_nobody_can_see_is_as_an_empty_one_and_one_that_also_says_something_is_not(char: str) -> None:
    for blank in (char, char * 9, f" {char}\n\u200b{char}"):
        assert is_blank(blank)
        assert text_problem(blank, 10) == "The text has nothing that can be seen."
    for said in (f"{char}x", f"x{char}", f"{char}\u0627{char}", f"{char}\U0001f469"):
        assert not is_blank(said)
        assert text_problem(said, 10) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\U0001f469\u200d\U0001f4bb", id="woman at a computer"),
        pytest.param("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", id="Persian"),
        pytest.param("\u2764\ufe0f", id="a red heart"),
        pytest.param("1\ufe0f\u20e3", id="a keycap"),
        pytest.param("\u0301", id="an accent"),
        pytest.param("\u0600", id="an Arabic number sign"),
        pytest.param("\ue000", id="a character for private use"),
    ],
)
def test_what_joins_or_varies_characters_that_can_be_seen_may_be_sent(text: str) -> None:
    assert text_problem(text, 10) is None


@pytest.mark.parametrize("text", ["", "  \n", "x" * 11, "a\x00", "\x1b[31m", "a\x7f", "a\x85b", "\ud83d"])
def test_a_text_may_not_be_sent(text: str) -> None:
    assert text_problem(text, 10)
