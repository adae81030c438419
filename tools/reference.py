"""Writes the generated reference pages under docs/reference/, or checks that they are up to date.

Each page is made by one function from the objects the program itself uses, so that page and program cannot differ.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tools import breaker_pages, crdt_pages, lock_pages, review_pages, server_pages

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"

# file name -> function that returns the page's text
PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": server_pages.settings,
    "errors.md": server_pages.errors,
    "close-codes.md": server_pages.close_codes,
    "metrics.md": server_pages.metrics,
    "http.md": server_pages.http,
    "cli.md": server_pages.command_line,
    "crdt.md": crdt_pages.reference,
    "lock.md": lock_pages.lock,
    "review.md": review_pages.library,
    "breaker.md": breaker_pages.reference,
}


def main() -> int:
    """Write the pages, or with --check say which ones differ and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the pages instead of checking them")
    write: bool = parser.parse_args().write
    stale = []
    for name, make in PAGES.items():
        path, text = REFERENCE / name, make()
        if write:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        sys.stderr.write(f"Out of date: {', '.join(stale)}. Run `make docs` and commit the result.\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
