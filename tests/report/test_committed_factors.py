"""In every committed report the factors of a ratio multiply to it, as a calculator says."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPORTS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("reports/*/report.md"))
# Of the committed runs: tap against user, tap against vhost, virtio against another NIC.
PAIRS = {
    "reports/quick/report.md": {
        ("user", "tap"),
        ("tap + vhost", "tap"),
        ("virtio-net-pci", "e1000"),
    },
    "reports/matrix/report.md": {("user", "tap"), ("virtio-net-pci", "pcnet")},
    "reports/matrix-lab-machine/report.md": {
        ("user", "tap"),
        ("tap + vhost", "tap"),
        ("vhost-user", "tap"),
        ("virtio-net-pci", "pcnet"),
    },
}
_TABLE = re.compile(
    r"<summary>.*\((\d+) rows\)</summary>\n\n\| factor \| (.+?) \| (.+?) \| times \|.*\n\| -.*\n"
)
_RATIO, _REST = "measured ratio", "rest, unexplained"
# A factor is printed with three digits.
_ROUNDED = 0.005


def tables(text: str) -> Iterator[tuple[tuple[str, str], list[tuple[int, str, str]]]]:
    """Each table of factors: what is held against what, and of each row its depth, its name and `times`."""
    for found in _TABLE.finditer(text):
        lines = text[found.end() :].splitlines()[: int(found[1])]
        rows = []
        for line in lines:
            name, *cells = line.strip().strip("|").split("|")
            # A space is the cell's own; a row is set in by em spaces.
            depth = len(name[1:]) - len(name[1:].lstrip("\u2003"))
            rows.append((depth, name.strip(), cells[2].strip()))
        yield (found[2], found[3]), rows


def number(text: str) -> float:
    return float(text.removesuffix("×").strip())


def parts_of(rows: list[tuple[int, str, str]], at: int) -> list[int]:
    """The rows set in below row `at`, and by one step only."""
    below: list[int] = []
    for place in range(at + 1, len(rows)):
        if rows[place][0] <= rows[at][0]:
            break
        below.append(place)
    least = min((rows[place][0] for place in below), default=0)
    return [place for place in below if rows[place][0] == least]


@pytest.mark.parametrize("report", REPORTS)
def test_the_factors_multiply_to_the_measured_ratio(report: str) -> None:
    checked = set()
    for pair, rows in tables((ROOT / report).read_text()):
        assert (rows[0][1], rows[-1][1]) == (_RATIO, _REST), rows
        top = [row for row in rows[1:] if row[0] == 0]
        product = math.prod(number(times) for _, _, times in top)
        assert product == pytest.approx(number(rows[0][2]), rel=_ROUNDED * (len(top) + 1)), (pair, rows)
        for at, (_, name, times) in enumerate(rows):
            parts = parts_of(rows, at)
            if parts and at:
                product = math.prod(number(rows[place][2]) for place in parts)
                assert product == pytest.approx(number(times), rel=_ROUNDED * (len(parts) + 1)), (pair, name)
        checked.add(pair)
    assert PAIRS.get(report, set()) <= checked, checked
