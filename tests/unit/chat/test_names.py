# ruff: noqa: RUF001 - letters that look alike are what this file is about

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.chat.names import NAME_CHARS, ROOM_CHARS, name_problem, room_problem, skeleton, text_problem


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


@pytest.mark.parametrize("text", ["x", " x ", "a\nb\tc\r\n", "😀", "x" * 10, "\u202e"])
def test_a_text_may_be_sent(text: str) -> None:
    assert text_problem(text, 10) is None


@pytest.mark.parametrize("text", ["", "  \n", "x" * 11, "a\x00", "\x1b[31m", "a\x7f", "a\x85b", "\ud83d"])
def test_a_text_may_not_be_sent(text: str) -> None:
    assert text_problem(text, 10)
