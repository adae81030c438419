"""What a room, a person and a text may be called or contain, and when two names look the same.

Refuses to do: anything but look at strings. It does not know who is present; the engine compares skeletons.

Invariants:
* Each `..._problem` returns None for a good value, otherwise one sentence for people; it never raises.
* A name that is accepted has a skeleton, and names that differ only in case, in composed or decomposed form, or in
  letters that look alike have the same one. After Unicode Technical Standard 39, sections 4 and 5.2, with a table cut
  down to letters that the rule of one script lets through; a script is told from the character's Unicode name.
"""

# ruff: noqa: RUF001, RUF003 - letters that look alike are what this file is about

import itertools
import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

ROOM_CHARS = 64
NAME_CHARS = 32
MARKS = 2  # accents on one letter; more of them paint over the lines above and below

_PLAIN_ROOM = re.compile(r"[A-Za-z0-9\-_.:~@+]{1,64}", re.ASCII)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9]+(?:[ \-_.'][A-Za-z0-9]+)*", re.ASCII)
_ROOM_SIGNS = frozenset("-_.:~@+")
_NAME_SIGNS = frozenset(" -_.'")
_FORBIDDEN_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

# What shows nothing by itself: white space, Unicode's Default_Ignorable_Code_Point (joiners, marks of direction,
# fillers, selectors, tags), annotation marks, and two signs that are drawn blank. Between others they do their work.
_INVISIBLE = re.compile(
    "[\\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)

# Writing systems that use several scripts at once; every other script stands alone (UTS 39, "highly restrictive").
_TOGETHER = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
)

# Lower-case letters that look like others, in the order: the ones that look alike, what they count as. Where only
# the capitals look alike (Cyrillic Н and Latin H) the pair is here too, because case is folded first.
_LOOKALIKES: Mapping[int, str] = MappingProxyType(
    {
        ord(letter): plain
        for letters, plain in (
            ("аαɑ", "a"), ("вβʙ", "b"), ("сϲᴄ", "c"), ("ԁɗ", "d"), ("еεҽє", "e"), ("ғ", "f"), ("ɡց", "g"),
            ("нһհηʜ", "h"), ("іιıӏɩɪ1|i", "l"), ("јϳȷյ", "j"), ("кκĸ", "k"), ("мᴍ", "m"), ("пոν", "n"),
            ("оοօ0ס", "o"), ("рρϸ", "p"), ("ԛգ", "q"), ("ѕꜱ", "s"), ("тτᴛ", "t"), ("υսʋ", "u"),
            ("ѵᴠ", "v"), ("ԝѡωաᴡ", "w"), ("хχ", "x"), ("уγүყʏ", "y"), ("ζᴢ", "z"), ("ロ", "口"),
            ("カ", "力"), ("エ", "工"), ("ニ", "二"), ("ハ", "八"), ("ト", "卜"), ("タ", "夕"), ("ー", "一"),
        )
        for letter in letters
    }
)  # fmt: skip


def room_problem(name: str) -> str | None:
    """Say what is wrong with a room's name, or None. Rooms are told apart by case; their names are NFKC."""
    if _PLAIN_ROOM.fullmatch(name) and name.strip("."):
        return None
    if not 1 <= len(name) <= ROOM_CHARS:
        return f"A room's name has 1 to {ROOM_CHARS} characters, not {len(name)}."
    if not name.strip("."):
        return "A room's name cannot be dots only."
    if not unicodedata.is_normalized("NFKC", name):
        return "A room's name must be in Unicode normal form NFKC."
    return _strange(name, _ROOM_SIGNS, "the characters - _ . : ~ @ +")


def name_problem(name: str) -> str | None:
    """Say what is wrong with a person's name, or None."""
    if not 1 <= len(name) <= NAME_CHARS:
        return f"A name has 1 to {NAME_CHARS} characters, not {len(name)}."
    if _PLAIN_NAME.fullmatch(name):
        return None
    composed = unicodedata.normalize("NFKC", name)
    return (
        _strange(composed, _NAME_SIGNS, "a space, - _ . or ' between them")
        or _badly_separated(composed)
        or _mixed(composed)
    )


def text_problem(text: str, max_chars: int) -> str | None:
    """Say what is wrong with a message's text, or None. `max_chars` counts code points."""
    if text.isascii() and text.isprintable() and len(text) <= max_chars and not text.isspace() and text:
        return None  # nearly every text; what follows says why not, or knows that it is good all the same
    if not text:
        return "The text is empty."
    if len(text) > max_chars:
        return f"The text has {len(text)} characters; at most {max_chars} are allowed."
    if is_blank(text):
        return "The text has nothing that can be seen."
    if text.isprintable():  # what is not may still be good: line breaks and tabs are
        return None
    if found := _FORBIDDEN_IN_TEXT.search(text):
        return f"The text has the control character U+{ord(found[0]):04X}."
    return None


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: it is empty, or made of spaces and other characters that nobody can see."""
    return not text or text.isspace() or (not text.isascii() and _INVISIBLE.fullmatch(text) is not None)


def skeleton(name: str) -> str:
    """Return a string that is equal for names that look alike. It is for comparing only, never for showing."""
    if name.isascii():  # normal, and its digits are plain
        return name.lower().translate(_LOOKALIKES).replace("rn", "m")
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(map(_plain_digit, folded)).translate(_LOOKALIKES).replace("rn", "m")


def _plain_digit(char: str) -> str:
    return char if char.isascii() else str(unicodedata.digit(char, char))


def _strange(name: str, signs: frozenset[str], allowed: str) -> str | None:
    """Find a character that is no letter, digit, allowed sign, or accent of the letter before it."""
    marks = MARKS  # so that a name cannot begin with an accent
    for char in name:
        category = unicodedata.category(char)
        if category in {"Mn", "Mc"}:
            marks += 1
            if marks > MARKS:
                return f"There are too many accents, or no letter, before U+{ord(char):04X}."
        elif category[0] == "L" or category == "Nd":
            marks = 0
        elif char in signs:
            marks = MARKS
        else:
            return f"The character U+{ord(char):04X} is not allowed: use letters, digits and {allowed}."
    return None


def _badly_separated(name: str) -> str | None:
    if name[0] in _NAME_SIGNS or name[-1] in _NAME_SIGNS:
        return "A name begins and ends with a letter or digit."
    if any(left in _NAME_SIGNS and right in _NAME_SIGNS for left, right in itertools.pairwise(name)):
        return "Only one sign may stand between two letters of a name."
    return None


def _mixed(name: str) -> str | None:
    scripts = {_script(char) for char in name if not char.isascii() or char.isalpha()} - {"COMBINING"}
    if len(scripts) < 2 or any(scripts <= together for together in _TOGETHER):
        return None
    return f"A name is written in one script, not in {' and '.join(sorted(map(str.capitalize, scripts)))}."


def _script(char: str) -> str:
    """Tell the script from the first word of the character's name; `name` is empty for a few unnamed letters."""
    first = re.split("[ -]", unicodedata.name(char, "UNNAMED"), maxsplit=1)[0]
    return {"EXTENDED": "ARABIC", "MODIFIER": "LATIN"}.get(first, first)
