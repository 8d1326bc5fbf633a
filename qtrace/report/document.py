"""A report before it is Markdown or HTML: sections of text, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from qtrace.report.text import MISSING, clean

__all__ = ["Column", "Document", "Figure", "Section", "Table"]


@dataclass(frozen=True, slots=True)
class Column:
    """`number` columns are set to the right, `code` columns in a typewriter's face."""

    title: str
    number: bool = False
    code: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """`title` may be empty; `rows` are formatted text, as many cells as `columns`."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, title: str, columns: str, rows: Sequence[Sequence[object]]) -> Table:
        """`columns`: titles separated by `|`; a leading `#` makes a number, a leading `$` code."""
        heads = tuple(
            Column(name.strip().lstrip("#$"), name.strip().startswith("#"), name.strip().startswith("$"))
            for name in columns.split("|")
        )
        return cls(title, heads, tuple(tuple(clean(cell) or MISSING for cell in row) for row in rows))

    @property
    def long(self) -> bool:
        """Too long to stand open in a page."""
        return len(self.rows) > 24


@dataclass(frozen=True, slots=True)
class Figure:
    """An SVG: `name` is its file's stem, `text` says in words what it shows.

    `svg` stands by itself as a file; `inline` is the same for a page that brings the style.
    """

    name: str
    text: str
    svg: str
    inline: str
    drawing: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """`reading` says in a sentence or two what the section says and how to read it."""

    name: str
    title: str
    reading: str
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    code: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """`alerts` come first: what is lost, failed or damaged. `headline` is the report in sentences."""

    title: str
    subtitle: str
    alerts: tuple[str, ...]
    headline: tuple[str, ...]
    sections: tuple[Section, ...] = field(default=())
