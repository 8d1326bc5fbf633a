"""A post before it belongs to a site: chapters of prose, listings, grids, pictures and diagrams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Article", "Block", "Chapter", "Diagram", "Grid", "Listing", "Picture", "Prose"]


@dataclass(frozen=True, slots=True)
class Prose:
    """Paragraphs, lists and headings of the third level, in Markdown."""

    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Text of a terminal or a command; `syntax` is the name that a highlighter knows."""

    text: str
    syntax: str = "console"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: `numbers` are the columns that are set to the right. Cells are Markdown."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG with what it shows in words. It has no colours of its own but by CSS variables."""

    name: str
    words: str
    svg: str


@dataclass(frozen=True, slots=True)
class Diagram:
    """The same as Mermaid's text and as a picture: a site that draws Mermaid gets the first."""

    mermaid: str
    picture: Picture


Block = Prose | Listing | Grid | Picture | Diagram


@dataclass(frozen=True, slots=True)
class Chapter:
    """`title` is empty for what stands before the first heading."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Article:
    """One post in one language."""

    slug: str
    language: str
    title: str
    description: str
    date: str
    tags: tuple[str, ...]
    chapters: tuple[Chapter, ...] = field(default=())

    def blocks(self) -> Sequence[Block]:
        """All of them in order."""
        return [block for chapter in self.chapters for block in chapter.blocks]
