"""The generated pages: every script of this folder with a `PAGE` (from the root) and a `text()`.

    python tests/generated/write.py

writes all of them (`make docs`); test_generated.py compares them (`make check`).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Generated", "between", "generated"]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Generated(NamedTuple):
    """A script's name, the page that it writes, and the function that gives the page's text."""

    name: str
    page: Path
    text: Callable[[], str]


def generated() -> list[Generated]:
    """Every generated page, by the script's name."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    found = []
    for path in sorted(HERE.glob("*.py")):
        if path.stem == "write" or path.stem.startswith("test_"):
            continue
        module = importlib.import_module(path.stem)
        found.append(Generated(path.stem, ROOT / module.PAGE, module.text))
    return found


def between(page: str, begin: str, text: str, end: str = "<!-- end -->") -> str:
    """The page as it stands, with `text` between the markers `begin` and `end` in place of what is there."""
    before, marker, rest = (ROOT / page).read_text().partition(f"{begin}\n")
    _, closing, after = rest.partition(end)
    assert marker and closing, f"{page} has no block {begin} … {end}"
    return f"{before}{marker}\n{text.strip()}\n\n{closing}{after}"


def main() -> None:
    for one in generated():
        new = one.text()
        if not one.page.exists() or one.page.read_text() != new:
            one.page.write_text(new)
            print(f"{one.page.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main()
