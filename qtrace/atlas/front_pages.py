"""The pages that belong to no release: the start, the modes of the lab, the glossary."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from qtrace.atlas.change_pages import change_pages, changes_page
from qtrace.atlas.documents import EVALUATION, Document
from qtrace.atlas.edition import Edition, Page
from qtrace.atlas.linking import Linker
from qtrace.atlas.mode_pages import mode_pages
from qtrace.atlas.permalinks import fragment, mode_page
from qtrace.lab.mode.mode import load_modes
from qtrace.post.compose import load_post, post_names
from qtrace.post.language import Language, load_language
from qtrace.report.text import clean

__all__ = ["front_entries", "front_pages"]

_LINK = Markup('<a href="{}">{}</a>')
_OTHER = {"en": "zh", "zh": "en"}


def front_pages(edition: Edition, documents: Sequence[Document] = ()) -> Iterator[Page]:
    """Every page of this kind."""
    t = edition.wording
    yield Page("index.html", t.start_title, "start.html.j2", functools.partial(_start, edition, documents))
    yield from change_pages(edition)
    yield from mode_pages(edition)
    values = functools.partial(_glossary, edition)
    yield Page("glossary.html", t.glossary, "glossary.html.j2", values)


def front_entries(edition: Edition, documents: Sequence[Document] = ()) -> Iterator[tuple[str, str, str]]:
    """(name, words, address) for the search."""
    t = edition.wording
    for item in t.questions:
        yield item["ask"], item.get("words", ""), f"{edition.releases[-1].name}/{item['page']}"
    for before, after in itertools.pairwise(edition.releases):
        name = f"{t.changes} {before.name} → {after.name}"
        yield name, f"{t.came} {t.went} {t.moved}", changes_page(before, after)
    for document in documents:
        yield document.title, document.name, document.page
    for mode in load_modes():
        yield mode.name, f"{mode.title} {mode.picture}", mode_page(mode.name)
    for language in _languages(edition):
        for term in language.glossary:
            yield (
                term.term,
                f"{term.english} {term.meaning}",
                f"glossary.html#{_term_id(language, term.term)}",
            )


def _start(edition: Edition, documents: Sequence[Document], link: Linker) -> dict[str, Any]:
    pages = {(document.kind, document.name): document.page for document in documents}
    newest, language = edition.releases[-1].name, edition.wording.name
    return {
        "list": [
            {
                "name": release.name,
                "href": f"{release.name}/index.html",
                "nics": len(release.nics),
                "backends": len(release.backends),
                "functions": len(release.functions),
                "walks": sum(1 for pair in release.pairs.values() for _ in pair.paths()),
            }
            for release in edition.releases
        ],
        "changes": [
            _LINK.format(changes_page(before, after), f"{before.name} → {after.name}")
            for before, after in itertools.pairwise(edition.releases)
        ],
        "evaluation": [
            (name, edition.wording.word(f"page_{name}"), pages.get(("evaluation", name), ""))
            for name in EVALUATION
        ],
        "written": [
            _LINK.format(document.page, document.title) for document in documents if document.kind == "post"
        ],
        "posts": [
            {"title": post.title.get(language, post.name), "about": post.description.get(language, "")}
            | {"command": f"qtrace post {post.name} --lang {language} -o BLOG"}
            for post in map(load_post, post_names())
        ],
        "questions": [
            _LINK.format(f"{newest}/{item['page']}", item["ask"]) for item in edition.wording.questions
        ],
    }


def _languages(edition: Edition) -> list[Language]:
    mine = edition.language.name
    return [load_language(name) for name in (mine, _OTHER.get(mine, "en"))]


def _term_id(language: Language, term: str) -> str:
    return fragment(f"{language.name}-{term}")


def _glossary(edition: Edition, link: Linker) -> dict[str, Any]:
    return {
        "languages": [
            {
                "html": language.html,
                "terms": [
                    {
                        "id": _term_id(language, term.term),
                        "term": clean(term.term),
                        "english": clean(term.english),
                        "meaning": clean(term.meaning),
                    }
                    for term in language.glossary
                ],
            }
            for language in _languages(edition)
        ]
    }
