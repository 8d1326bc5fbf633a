"""An analysis's rows as aligned columns for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from qtrace.report.answers import Row
from qtrace.report.text import MISSING, clean, count, plain_number

__all__ = ["as_columns"]


def as_columns(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """The table with its columns' names; numbers are written plainly, a missing one is a dash."""
    lines = [list(columns), *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return plain_number(value)
    return count(value) if isinstance(value, int) else clean(value)
