"""A document as Markdown that can be published as it stands: text, pipe tables, figures by relative name."""

from __future__ import annotations

import re

from qtrace.report.document import Document, Section, Table

__all__ = ["to_markdown"]

# Characters that Markdown takes for markup; underscores in names are safe, because GitHub ignores them in
# words.
_SPECIAL = re.compile(r"([\\`*<>\[\]|~])")


def to_markdown(document: Document) -> str:
    """The whole document; figures are expected in `figures/` beside it."""
    parts = [f"# {_text(document.title)}"]
    if document.alerts:
        parts.append("\n".join(f"> **{_text(alert)}**  " for alert in document.alerts))
    parts.append(_text(document.subtitle))
    parts.append("\n".join(f"- {_text(line)}" for line in document.headline))
    parts += [_section(section) for section in document.sections]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(section: Section) -> str:
    parts = [f"## {_text(section.title)}", _prose(section.reading)]
    for figure in section.figures:
        words = figure.text.replace("[", "(").replace("]", ")")
        parts.append(f"![{_text(words)}](figures/{figure.name}.svg)")
    parts += [_table(table) for table in section.tables if table.rows]
    parts += [f"```sh\n{line}\n```" for line in section.code]
    return "\n\n".join(parts)


def _table(table: Table) -> str:
    lines = [f"**{_text(table.title)}**", ""] if table.title else []
    lines.append("| " + " | ".join(_text(column.title) for column in table.columns) + " |")
    lines.append("| " + " | ".join("---:" if column.number else "---" for column in table.columns) + " |")
    for row in table.rows:
        cells = [
            _code(cell) if column.code else _text(cell)
            for column, cell in zip(table.columns, row, strict=True)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _prose(text: str) -> str:
    """qtrace's own text, with its code marks; names from a plan are in it."""
    return re.sub(r"([<\[|])", r"\\\1", text)


def _code(text: str) -> str:
    return f"`{text}`" if not set(text) & set("`|") else _text(text)
