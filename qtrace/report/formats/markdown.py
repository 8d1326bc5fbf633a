"""A document as Markdown that can be published as it stands: text, pipe tables, figures by relative name."""

from __future__ import annotations

import html
import re

from qtrace.report.document import Document, Section, Table
from qtrace.report.speech import say, speaking

__all__ = ["escaped", "to_markdown"]

# Characters that Markdown takes for markup; underscores in names are safe, because GitHub ignores them in
# words.
_SPECIAL = re.compile(r"([\\`*<>\[\]|~])")


def to_markdown(document: Document) -> str:
    """The whole document; figures are expected in `figures/` beside it."""
    with speaking(document.language):
        return _whole(document)


def _whole(document: Document) -> str:
    parts = [f"# {escaped(document.title)}"]
    if document.alerts:
        parts.append("\n".join(f"> **{escaped(alert)}**  " for alert in document.alerts))
    parts.append(escaped(document.subtitle))
    parts.append("\n".join(f"- {escaped(line)}" for line in document.headline))
    if document.because:
        parts.append(say("Why:") + "\n\n" + "\n".join(f"- {escaped(line)}" for line in document.because))
    parts += [_section(section) for section in document.sections]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(section: Section) -> str:
    parts = [f"## {escaped(section.title)}", *(f"**{escaped(line)}**" for line in section.said)]
    parts.append(_prose(section.reading))
    for figure in section.figures:
        words = figure.text.replace("[", "(").replace("]", ")")
        parts.append(f"![{escaped(words)}](figures/{figure.name}.svg)")
    parts += [_folded(section, table) for table in section.tables if table.rows]
    parts += [f"```sh\n{line}\n```" for line in section.code]
    return "\n\n".join(parts)


def _folded(section: Section, table: Table) -> str:
    """The table behind its title; a page's reader opens it."""
    parts = [escaped(table.said)] if table.said else []
    title = html.escape(table.title or section.title, quote=False)
    summary = say("{title} ({number} rows)", title=title, number=len(table.rows))
    parts += [f'<details markdown="1"><summary>{summary}</summary>', _table(table), "</details>"]
    return "\n\n".join(parts)


def _table(table: Table) -> str:
    lines = ["| " + " | ".join(escaped(column.title) for column in table.columns) + " |"]
    lines.append("| " + " | ".join("---:" if column.number else "---" for column in table.columns) + " |")
    for row in table.rows:
        cells = [
            _code(cell) if column.code else escaped(cell)
            for column, cell in zip(table.columns, row, strict=True)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text in which nothing is markup."""
    return _SPECIAL.sub(r"\\\1", text)


def _prose(text: str) -> str:
    """qtrace's own text, with its code marks; names from a plan are in it."""
    return re.sub(r"([<\[|])", r"\\\1", text)


def _code(text: str) -> str:
    return f"`{text}`" if not set(text) & set("`|") else escaped(text)
