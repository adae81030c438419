"""The models file of the how-to page is one."""

import re
from pathlib import Path

from palaver.review import roster

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "ask-a-room.md"


def test_the_models_file_on_the_page_can_be_used() -> None:
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    known = roster.parse(found[1])
    assert [model.key for model in known.model] == ["gpt"]
    assert known.provider[0].key == "OPENROUTER_API_KEY"
