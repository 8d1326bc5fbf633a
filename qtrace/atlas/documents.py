"""The project's own pages and posts as pages of the atlas: Markdown files of the repository, made into HTML.

An installed package has none of them: the start page then says where they are.
"""

from __future__ import annotations

import functools
import itertools
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

import qtrace
from qtrace.atlas.edition import Edition, Page
from qtrace.atlas.linking import Linker
from qtrace.atlas.permalinks import document_page, fragment, relative
from qtrace.errors import StoreError
from qtrace.report.speech import ENGLISH
from qtrace.report.text import clean, plain

__all__ = ["EVALUATION", "Document", "document_html", "document_pages", "find_documents"]

# The project's pages that measure how far its answers hold.
EVALUATION = (
    *("accuracy", "symbols-accuracy", "walks", "foreign", "reachability", "reliability"),
    *("overhead", "index-speed", "why"),
)
CHECKOUT = Path(qtrace.__file__).parents[1]  # where there is one: an installed package has no such files
_COMMENT = re.compile(r"^<!--.*?-->[ \t]*$", re.MULTILINE | re.DOTALL)
_NO_SLUG = re.compile(r"[^\w\- ]")
# Ids of the atlas's own frame (base.html.j2, atlas.js).
_TAKEN = frozenset({"main", "tools", "theme", "search", "q", "hits", "filters"})
_PICTURES = frozenset({".svg", ".png"})
_LARGEST_PICTURE = 1_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Document:
    """A Markdown file. `kind` is `evaluation` or `post`, `name` that of the page or of the post's folder,
    `language` the one in which it is written; `figures`: the address in the text -> the file."""

    kind: str
    name: str
    language: str
    file: Path
    title: str
    text: str
    figures: Mapping[str, Path]

    @property
    def page(self) -> str:
        return document_page(self.kind, self.name)

    def figure(self, address: str) -> str:
        """The place of a figure within the atlas."""
        return f"{posixpath.dirname(self.page)}/{fragment(self.name)}-{fragment(Path(address).name)}"


def find_documents(language: str, posts: Path | None = None, root: Path = CHECKOUT) -> tuple[Document, ...]:
    """The evaluation pages of a checkout, and the posts in the folder `posts`, or the checkout's: each in the
    language where it is there in that, else in English. Raises StoreError for a folder without a post."""
    found = [
        _read("evaluation", name, ENGLISH, file)
        for name in EVALUATION
        if (file := root / "docs" / f"{name}.md").is_file()
    ]
    made = list(_posts(posts or root / "reports" / "posts", language))
    if posts is not None and not made:
        raise StoreError(
            f"{posts} has no post", hint=f"a post is a folder with {language}.md: qtrace post NAME -o {posts}"
        )
    return (*found, *made)


def document_pages(edition: Edition, documents: Sequence[Document]) -> Iterator[Page]:
    """A page for each."""
    for document in documents:
        values = functools.partial(_values, document, documents)
        yield Page(document.page, document.title, "document.html.j2", values)


def _posts(folder: Path, language: str) -> Iterator[Document]:
    for post in sorted(folder.iterdir()) if folder.is_dir() else ():
        for name in dict.fromkeys((language, ENGLISH)):
            if (file := post / f"{name}.md").is_file():
                yield _read("post", post.name, name, file)
                break


def _read(kind: str, name: str, language: str, file: Path) -> Document:
    try:
        text = plain(_COMMENT.sub("", file.read_text(encoding="utf-8", errors="replace")))
    except OSError as exc:
        raise StoreError(f"cannot read {file}: {exc.strerror}") from exc
    title = next((line[2:] for line in text.splitlines() if line.startswith("# ")), name)
    root, figures = file.parent.resolve(), {}
    for token in _tokens(text):
        for child in token.children or ():
            address = str(child.attrs.get("src", "")) if child.type == "image" else ""
            path = (root / unquote(address)).resolve()
            inside = address and path.is_relative_to(root) and path.suffix in _PICTURES
            if inside and path.is_file() and path.stat().st_size <= _LARGEST_PICTURE:
                figures[address] = path
    return Document(kind, name, language, file, clean(re.sub(r"[`*]", "", title)), text, figures)


def _values(document: Document, documents: Sequence[Document], link: Linker) -> dict[str, Any]:
    return {"body": Markup(document_html(document, documents)), "language": document.language}


def document_html(document: Document, documents: Sequence[Document]) -> str:
    """The text as HTML: no tag of its own is one, and every link within the atlas leads somewhere."""
    known = {other.file.resolve(): other for other in documents}
    tokens = _tokens(document.text)
    own = set(_headings(tokens))
    for token in tokens:
        if token.children:
            token.children = list(_mended(token.children, document, known, own))
    return str(_reader().renderer.render(tokens, _reader().options, {}))


class _Renderer(RendererHTML):
    """What may be wider than the page is scrolled by keyboard too."""

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="wide" tabindex="0"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>\n"

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _scrolled(super().code_block(tokens, idx, options, env))

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _scrolled(super().fence(tokens, idx, options, env))


def _scrolled(html: str) -> str:
    return html.replace("<pre>", '<pre tabindex="0">', 1)


@functools.cache
def _reader() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")


def _tokens(text: str) -> list[Token]:
    return _reader().parse(text)


def _headings(tokens: Sequence[Token]) -> Iterator[str]:
    """Gives each heading its id, as the repository's own pages have it, and returns the ids."""
    taken = set(_TAKEN)
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open":
            said = "".join(child.content for child in inline.children or ())
            slug = name = _NO_SLUG.sub("", said.lower()).replace(" ", "-") or "part"
            number = 0
            while name in taken:
                number += 1
                name = f"{slug}-{number}"
            taken.add(name)
            token.attrSet("id", name)
            yield name


def _ids(document: Document) -> set[str]:
    return set(_headings(_tokens(document.text)))


def _mended(
    children: Sequence[Token], document: Document, known: Mapping[Path, Document], own: set[str]
) -> Iterator[Token]:
    """The same with links that lead somewhere from the atlas; of the others the words stay."""
    open_links: list[bool] = []
    for child in children:
        if child.type == "link_open":
            target = _target(str(child.attrs.get("href", "")), document, known, own)
            open_links.append(bool(target))
            if target:
                child.attrSet("href", target)
                yield child
        elif child.type == "link_close":
            if open_links.pop():
                yield child
        elif child.type == "image":
            address = str(child.attrs.get("src", ""))
            if address in document.figures:
                child.attrSet("src", relative(document.page, document.figure(address)))
                yield child
            else:
                yield Token("text", "", 0, content=child.content)
        else:
            yield child


def _target(href: str, document: Document, known: Mapping[Path, Document], own: set[str]) -> str:
    """The address of a link on the page, empty where the atlas has nothing there."""
    parts = urlsplit(href)
    if parts.scheme or parts.netloc:
        return href if parts.scheme == "https" else ""
    part = unquote(parts.fragment)
    if not parts.path:
        return href if part in own else ""
    other = known.get((document.file.parent / unquote(parts.path)).resolve())
    if other is None:
        return ""
    return relative(document.page, other.page + (f"#{parts.fragment}" if part in _ids(other) else ""))
