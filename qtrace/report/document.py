"""A report before it is Markdown or HTML: sections of text, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from qtrace.report.speech import ENGLISH, told
from qtrace.report.text import MISSING, clean

__all__ = ["Column", "Document", "Figure", "Section", "Table"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `number` columns are aligned right, `code` columns are monospaced."""

    title: str
    number: bool = False
    code: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `title` may be empty; `rows` are formatted text, with a cell for each of `columns`. `said` is
    the table in a sentence, which stands above it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    said: str = ""

    @classmethod
    def of(cls, title: str, columns: str, rows: Sequence[Sequence[object]], said: str = "") -> Table:
        """`columns`: titles separated by `|`; a leading `#` makes a number, a leading `$` code. Titles and
        cells that are sentences of ours are in the language that is spoken."""
        heads = tuple(
            Column(
                told(name.strip().lstrip("#$")), name.strip().startswith("#"), name.strip().startswith("$")
            )
            for name in columns.split("|")
        )
        return cls(told(title), heads, tuple(tuple(_cell(cell) for cell in row) for row in rows), said)


def _cell(value: object) -> str:
    """A cell's text; an em space in front sets it in."""
    text = str(value)
    inner = text.lstrip("\u2003")
    return text[: len(text) - len(inner)] + (told(clean(inner)) or MISSING)


@dataclass(frozen=True, slots=True)
class Figure:
    """An SVG: `name` is the stem of its file, `text` describes it in words.

    `svg` is a complete file; `inline` is the same without the style, for a page that has it.
    """

    name: str
    text: str
    svg: str
    inline: str
    drawing: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A section; `said` answers its question in sentences, `reading` explains how to read it."""

    name: str
    title: str
    reading: str
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    code: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A report, in `language`. `alerts` come first: losses, failures, damage. `headline` is the report in
    sentences, `because` the reasons."""

    title: str
    subtitle: str
    alerts: tuple[str, ...]
    headline: tuple[str, ...]
    because: tuple[str, ...] = ()
    sections: tuple[Section, ...] = field(default=())
    language: str = ENGLISH
