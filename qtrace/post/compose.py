"""A post's template in one language, with the facts in it, becomes an article.

A template is Markdown; what is no prose (a listing, a table, a picture) is put in by a function and stands
on a line of its own.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2

from qtrace.errors import PostError
from qtrace.post.article import Article, Block, Chapter, Grid, Listing, Prose
from qtrace.post.fact_book import FactBook
from qtrace.post.language import Language
from qtrace.post.source_links import Link

__all__ = ["Composer", "PostKind", "load_post", "post_names"]

_MARK = re.compile("^\ue000(\\d+)\ue000$")
_SPECIAL = re.compile(r"([\\`*_<>|\[\]])")


@dataclass(frozen=True, slots=True)
class PostKind:
    """A post of the series, the `post.toml` of its folder: the script of its lab, NIC and netdev of its
    walks, the line that it explains. `title`, `description` are by language."""

    name: str
    order: int
    slug: str
    script: str
    nic: str
    netdev: str
    line: tuple[str, ...]
    title: dict[str, str]
    description: dict[str, str]
    tags: tuple[str, ...]
    guests: int = 1


def post_names() -> list[str]:
    """The posts that there are, in the order of the series: each is a folder of `posts/`."""
    folder = resources.files("qtrace.post") / "posts"
    names = [item.name for item in folder.iterdir() if (item / "post.toml").is_file()]
    return sorted(names, key=lambda name: load_post(name).order)


def load_post(name: str) -> PostKind:
    """A post by its name. Raises PostError."""
    place = resources.files("qtrace.post") / "posts" / name / "post.toml"
    if not place.is_file():
        raise PostError(f"there is no post {name!r}", hint=f"the posts are: {', '.join(post_names())}")
    raw: dict[str, Any] = tomllib.loads(place.read_text())
    for key in ("line", "tags"):
        raw[key] = tuple(raw[key])
    try:
        return PostKind(name, **raw)
    except TypeError as exc:
        raise PostError(f"the post {name}: {exc}") from exc


class Composer:
    """Renders one template. `functions` are what the template may call besides those of this class."""

    def __init__(self, kind: PostKind, language: Language, book: FactBook, functions: dict[str, Any]) -> None:
        self._kind, self._language, self._book = kind, language, book
        self._blocks: list[Block] = []
        self._names: dict[str, Any] = {
            "fact": self.fact,
            "code": self.code,
            "has": book.has,
            "number": book.number,
            "listing": self.listing,
            "text": self.text,
            "grid": self.grid,
            "put": self.put,
            "linked": self.linked,
            "glossary": [(self.plain(term.term), term.english, term.meaning) for term in language.glossary],
            "plain_glossary": [(self.plain(term.term), term.meaning) for term in language.glossary],
            **functions,
        }

    def fact(self, name: str) -> str:
        """A fact's text in prose."""
        return self.plain(self._book.use(name))

    def code(self, name: str) -> str:
        """A fact's text as code."""
        return _code(self._book.use(name))

    @staticmethod
    def plain(text: str) -> str:
        """Text as Markdown that shows it as it is."""
        return _SPECIAL.sub(r"\\\1", " ".join(text.split()))

    def listing(self, *steps: str) -> str:
        """What a lab's commands printed, one below the other."""
        return self.put(Listing("\n".join(self._book.use(f"listing.{step}") for step in steps)))

    def text(self, name: str, syntax: str = "text") -> str:
        """A fact's text as a block."""
        return self.put(Listing(self._book.use(name), syntax))

    def grid(self, heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
        """A table."""
        return self.put(Grid(tuple(heads), tuple(map(tuple, rows)), frozenset(numbers)))

    def put(self, block: Block) -> str:
        """A block on a line of its own."""
        self._blocks.append(block)
        return f"\n\n\ue000{len(self._blocks) - 1}\ue000\n\n"

    @staticmethod
    def linked(link: Link | None, name: str = "") -> str:
        """A function's name with its place as a link."""
        if link is None:
            return _code(name)
        return f"{_code(link.function)} ([{link.place}]({link.url}))"

    def article(self, date: str) -> Article:
        """The whole. Raises PostError, with the template's line, where it asks for what is not there."""
        name = f"{self._kind.name}/{self._language.name}.md.j2"
        try:
            rendered = _environment().get_template(name).render(self._names)
        except jinja2.TemplateNotFound as exc:
            raise PostError(f"the post {self._kind.name} is not written in {self._language.name}") from exc
        except jinja2.TemplateError as exc:
            raise PostError(f"posts/{name}: {exc}") from exc
        kind, language = self._kind, self._language.name
        title, description = self._title(kind.title), self._title(kind.description)
        return Article(
            kind.slug, language, title, description, date, kind.tags, tuple(self._chapters(rendered))
        )

    def _title(self, by_language: dict[str, str]) -> str:
        if self._language.name not in by_language:
            raise PostError(f"the post {self._kind.name} has no title in {self._language.name}")
        return by_language[self._language.name]

    def _chapters(self, rendered: str) -> list[Chapter]:
        """Split at the headings; a chapter in which nothing stands is left out."""
        found: list[Chapter] = []
        title = ""
        blocks: list[Block] = []
        prose: list[str] = []

        def paragraph() -> None:
            text = re.sub(r"\n{3,}", "\n\n", "\n".join(prose)).strip()
            if text:
                blocks.append(Prose(text))
            prose.clear()

        def end() -> None:
            paragraph()
            if blocks:
                found.append(Chapter(title, tuple(blocks)))
            blocks.clear()

        for line in rendered.split("\n"):
            if line.startswith("## "):
                end()
                title = line[3:].strip()
            elif mark := _MARK.match(line.strip()):
                paragraph()
                blocks.append(self._blocks[int(mark[1])])
            else:
                prose.append(line.rstrip())
        end()
        return found


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("qtrace.post", "posts"),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _code(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    edge = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{edge}{' '.join(text.split())}{edge}{fence}"
