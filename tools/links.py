"""Checks the Markdown pages: every link leads to a file and a heading that are there, and docs/index.md to every page.

Refuses to do: ask the network; links to other sites are not looked at. A folder that the index names stands for its
pages.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def pages(root: Path) -> list[Path]:
    """The pages that people read: those at the root, and everything under docs/ and examples/."""
    return sorted([*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("examples/**/README.md")])


def links(page: Path) -> Iterator[str]:
    """What the page links to, without what it shows as code."""
    text = _CODE.sub("", _FENCED.sub("", page.read_text(encoding="utf-8")))
    yield from _LINK.findall(text)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code forges make them."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}


def broken(root: Path) -> list[str]:
    """One line for each link that leads nowhere."""
    found = []
    for page in pages(root):
        for link in links(page):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists():
                found.append(f"{page.relative_to(root)}: {link} leads nowhere")
            elif anchor and target.suffix == ".md" and anchor not in anchors(target):
                found.append(f"{page.relative_to(root)}: {link}: there is no such heading")
    return found


def unlinked(root: Path) -> list[str]:
    """One line for each page under docs/ that docs/index.md does not name, nor the folder that it is in."""
    docs = root / "docs"
    named = {(docs / link.partition("#")[0]).resolve() for link in links(docs / "index.md")}
    return [
        f"{page.relative_to(root)} is not linked from docs/index.md"
        for page in sorted(docs.glob("**/*.md"))
        if page.name != "index.md" and page.resolve() not in named and page.parent.resolve() not in named
    ]


def main() -> int:
    """Print what is wrong; return 1 if anything is."""
    wrong = [*broken(ROOT), *unlinked(ROOT)]
    sys.stderr.write("".join(f"{line}\n" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
