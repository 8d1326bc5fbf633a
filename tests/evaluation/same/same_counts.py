"""How many comparisons were called different, and whether that is as docs/campaign.md promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from changes import AGAIN

__all__ = ["Compared", "as_promised", "counts"]

_DIFFERENT = ("slower", "faster")
_MOST_WRONG, _LEAST_FOUND = 0.05, 0.95


@dataclass(frozen=True, slots=True)
class Compared:
    """The rows of `qtrace compare --format json` of one pair; `kind` is `again` or a change's name."""

    kind: str
    rows: list[dict[str, Any]]


def counts(found: Sequence[Compared]) -> dict[str, tuple[int, int]]:
    """Kind -> (comparisons, called different; of a change: called slower, which it is).

    A comparison is a cell, which has one metric or two that are judged: one that differs is enough.
    """
    made: dict[str, tuple[int, int]] = {}
    for one in found:
        wanted = _DIFFERENT if one.kind == AGAIN else ("slower",)
        cells: dict[tuple[str, ...], bool] = {}
        for row in one.rows:
            cell = (row["nic"], row["netdev"], row["way"], row["workload"])
            cells[cell] = cells.get(cell, False) or row["verdict"] in wanted
        total, hits = made.get(one.kind, (0, 0))
        made[one.kind] = (total + len(cells), hits + sum(cells.values()))
    return made


def as_promised(found: Sequence[Compared]) -> bool:
    """At most 5 % of the unchanged are called different, and at least 95 % of the changes are found."""
    made = counts(found)
    same, wrong = made.pop(AGAIN)
    changed, right = (sum(column) for column in zip(*made.values(), strict=True))
    return wrong <= _MOST_WRONG * same and right >= _LEAST_FOUND * changed
