"""A document as one self-contained HTML file, including style and figures."""

from __future__ import annotations

import functools
import re

import jinja2
from markupsafe import Markup, escape

from qtrace.report.document import Document

__all__ = ["environment", "to_html"]


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
    made.filters["drawn"] = Markup  # only for figures, which qtrace itself drew
    return made


def to_html(document: Document) -> str:
    """The whole page."""
    return environment().get_template("report.html.j2").render(document=document)


def _prose(text: str) -> Markup:
    """Text, escaped, with `code` marks turned into elements."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))
