"""A document as one self-contained HTML file, including style and figures."""

from __future__ import annotations

import functools
import re

import jinja2
from markupsafe import Markup, escape

from qtrace.report.document import Document
from qtrace.report.speech import ENGLISH, say, speaking, spoken

__all__ = ["environment", "to_html"]

# Three words or more in a row, in small letters: English, and no name.
_PHRASE = re.compile(r"[A-Za-z('][\w'()./:-]*,?(?: (?:[A-Za-z(][\w'()./:-]*|[\d.]+),?){2,}", re.ASCII)


@functools.cache
def environment() -> jinja2.Environment:
    """The templates of this folder. All inserted text is escaped."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("qtrace.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["prose"] = _prose
    made.filters["told"] = _marked
    made.filters["drawn"] = Markup  # only for figures, which qtrace itself drew
    return made


def to_html(document: Document) -> str:
    """The whole page."""
    with speaking(document.language) as book:
        page = environment().get_template("report.html.j2")
        return page.render(document=document, html=book.html, say=say)


def _prose(text: str) -> Markup:
    """Text, escaped, with `code` marks turned into elements."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _marked(text: str) -> Markup:
    """Text, escaped; on a page in another language with what is left in English marked: messages of
    tools, texts of a stored run."""
    if spoken().name == ENGLISH:
        return escape(text)
    parts, last = [], 0
    for phrase in _PHRASE.finditer(text):
        parts += [escape(text[last : phrase.start()]), Markup('<span lang="en">{}</span>').format(phrase[0])]
        last = phrase.end()
    return Markup("").join([*parts, escape(text[last:])])
