"""What the analyses that answer in sentences share: a row, a sentence's values, the extremes of a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Row", "Said", "extremes"]

Row = Mapping[str, Any]  # of an analysis's answer; a missing value is None
Said = tuple[str, Mapping[str, Any]]  # the key of a sentence, and the values of its places


def extremes(rows: Sequence[Row], column: str) -> tuple[Row, Row] | None:
    """The rows with the least and the most of a column; None where no row has a value."""
    known = [row for row in rows if row[column] is not None]
    if not known:
        return None
    return min(known, key=lambda row: float(row[column])), max(known, key=lambda row: float(row[column]))
