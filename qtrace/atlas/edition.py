"""One build of the atlas: its releases, its language, and the pages that there are."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup

from qtrace.atlas.core_parts import Part
from qtrace.atlas.linking import Linker
from qtrace.atlas.permalinks import fragment, relative
from qtrace.atlas.release_facts import Release
from qtrace.atlas.run_figures import RunFigures
from qtrace.atlas.wording import Wording
from qtrace.post.language import Language
from qtrace.report.formats.html import environment
from qtrace.report.speech import ENGLISH, report_languages, speaking, told
from qtrace.report.text import clean, plain

__all__ = ["Crumb", "Edition", "Page", "templates"]

_QUOTED = re.compile(r' ([a-z][a-z-]*)="([A-Za-z0-9_.:#/?+-]+)"(?=[ >])')
_NAMESPACE = "<svg xmlns=http://www.w3.org/2000/svg"  # which HTML knows of itself
_BETWEEN = re.compile(r">\s*\n\s*<")

Crumb = tuple[str, str]  # the page of a release, or "" for this one; its name


@dataclass(frozen=True, slots=True)
class Page:
    """`path` is within the release's folder, or within the atlas for a page of no release. `values` makes
    what the template needs when the page is written."""

    path: str
    title: str
    template: str
    values: Callable[[Linker], Mapping[str, Any]]
    crumbs: tuple[Crumb, ...] = ()
    release: Release | None = None

    @property
    def place(self) -> str:
        """Its path within the atlas."""
        return f"{self.release.name}/{self.path}" if self.release else self.path


@dataclass(frozen=True, slots=True)
class Edition:
    """`runs` are the figures of runs that were given; `parts` the parts of the core; `language` has the terms
    of the series."""

    releases: tuple[Release, ...]
    wording: Wording
    language: Language
    parts: Sequence[Part]
    runs: RunFigures

    def render(self, page: Page, elsewhere: Mapping[str, frozenset[str]]) -> str:
        """The whole page. `elsewhere`: release -> its pages."""
        with speaking(self.spoken):
            return self._rendered(page, elsewhere)

    @property
    def spoken(self) -> str:
        """The language of what a walk and a run say; English where the report has not that of the pages."""
        return self.wording.name if self.wording.name in report_languages() else ENGLISH

    def _rendered(self, page: Page, elsewhere: Mapping[str, frozenset[str]]) -> str:
        # A page of no release links by the addresses that it makes itself.
        linker = Linker(page.release or self.releases[-1], page.path)
        root = "../" * page.place.count("/")
        others = []
        if page.release:
            for release in self.releases:
                there = page.path in elsewhere[release.name]
                others.append((release.name, f"{root}{release.name}/{page.path}" if there else ""))
        context = {
            "t": self.wording,
            "title": clean(page.title),
            "release": page.release,
            "root": root,
            "crumbs": self._crumbs(page),
            "others": others,
            "link": linker,
            **page.values(linker),
        }
        return _compact(templates().get_template(page.template).render(context)) + "\n"

    def _crumbs(self, page: Page) -> list[tuple[str, str]]:
        found = []
        if page.release and page.path != "index.html":
            found.append((relative(page.path, "index.html"), f"QEMU {page.release.name}"))
        return found + [(relative(page.path, target), clean(name)) for target, name in page.crumbs]


@functools.cache
def templates() -> jinja2.Environment:
    """The templates of the atlas, in the report's environment: all inserted text is escaped."""
    base = environment()
    made = base.overlay(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("qtrace.atlas"), jinja2.PackageLoader("qtrace.report")]
        ),
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    # `own`: a sentence of ours that comes in English.
    made.filters = {**base.filters, "fragment": fragment, "flat": _flat, "own": told}
    return made


def _compact(html: str) -> str:
    """The same without quotes that HTML does not need, and without empty lines between elements.

    A quote in a text is escaped, so what looks like an attribute is one.
    """
    bare = _QUOTED.sub(r" \1=\2", html).replace(_NAMESPACE, "<svg")
    return _BETWEEN.sub(">\n<", bare)


def _harmless(value: object) -> object:
    """What a template inserts: no control character of a name, and no mark of direction, reaches a page."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _flat(text: object) -> str:
    """Text of several lines on one, cleaned."""
    return clean(" ".join(str(text).split()))
