"""A committed post, read back into the article that it was written from."""

from __future__ import annotations

import re
from pathlib import Path

from qtrace.post.article import Article, Block, Chapter, Diagram, Grid, Listing, Picture, Prose
from qtrace.post.compose import load_post
from qtrace.post.language import load_language
from qtrace.post.sequence import Message, draw_sequence

POSTS = Path(__file__).parent.parent.parent / "reports" / "posts"
_FENCE = re.compile(r"(`{3,})(\w*)")
_IMAGE = re.compile(r"!\[(.*)\]\((figures/.*)\)")
_ARROW = re.compile(r" {4}(\w+)->>(\w+): (\S+)(?: \((.*)\))?")
_ALONE = re.compile(r"<style>.*?</style>")


def read_article(name: str, language: str) -> Article:
    """From reports/posts alone: page and figures. What the page has not (date, tags) is the kind's."""
    kind = load_post(name)
    folder = POSTS / kind.slug
    lines = (folder / f"{language}.md").read_text().split("\n")
    chapters: list[Chapter] = []
    title, blocks, prose = "", list[Block](), list[str]()

    def paragraph() -> None:
        if text := "\n".join(prose).strip():
            blocks.append(Prose(text))
        prose.clear()

    def end() -> None:
        paragraph()
        if blocks:
            chapters.append(Chapter(title, tuple(blocks)))
        blocks.clear()

    at = 1
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("## "):
            end()
            title = line[3:]
        elif fence := _FENCE.fullmatch(line):
            paragraph()
            last = lines.index(fence[1], at)
            blocks.append(_fenced(fence[2], "\n".join(lines[at:last]), title, language, kind.nic))
            at = last + 1
        elif line.startswith("| "):
            paragraph()
            first = at - 1
            while lines[at].startswith("| "):
                at += 1
            blocks.append(_grid(lines[first:at]))
        elif image := _IMAGE.fullmatch(line):
            paragraph()
            svg = _ALONE.sub("", (folder / image[2]).read_text(), count=1).strip()
            blocks.append(Picture(Path(image[2]).name.partition(".")[0], image[1], svg))
        else:
            prose.append(line)
    end()
    words = kind.title[language], kind.description[language]
    return Article(kind.slug, language, *words, "2026-11-27", kind.tags, tuple(chapters))


def _fenced(syntax: str, text: str, words: str, language: str, nic: str) -> Block:
    if syntax != "mermaid":
        return Listing(text, syntax)
    arrows = [Message(*(part or "" for part in found)) for found in _ARROW.findall(text)]
    direction = "tx" if arrows[0].first == "guest" else "rx"
    drawn = draw_sequence(f"sequence-{direction}", words, arrows, load_language(language), nic)
    assert drawn.mermaid.rstrip("\n") == text
    return drawn


def _grid(lines: list[str]) -> Grid:
    heads, rule, *rows = ([*re.split(r"(?<!\\) \| ", line[2:-2])] for line in lines)
    numbers = frozenset(at for at, cell in enumerate(rule) if cell.endswith(":"))
    return Grid(tuple(heads), tuple(map(tuple, rows)), numbers)


def drawings(article: Article) -> list[Picture]:
    """Every picture, those beside a diagram's text too."""
    parts = (block.picture if isinstance(block, Diagram) else block for block in article.blocks())
    return [part for part in parts if isinstance(part, Picture)]
