"""What the pages about the set show is run: each program, in order, prints the text below it."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[3] / "docs"
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "page", ["tutorial/crdt.md", "howto/crdt-keep-in-step.md", "explanation/crdt-when-not.md", "reference/crdt-wire.md"]
)
def test_the_programs_of_a_page_print_what_it_says(page: str) -> None:
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert blocks
    names: dict[str, object] = {}
    said, output = "", StringIO()
    for language, text in blocks:
        if language == "python":
            assert output.getvalue() == said, "a program prints what no text shows"
            output = StringIO()
            with redirect_stdout(output):
                exec(compile(text, page, "exec"), names)  # our own page
            said = ""
        else:
            said = text
            assert output.getvalue() == said
