"""A page of the atlas as a tree of elements, read by Python's own parser of HTML."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

VOID = {"meta", "link", "input", "br", "rect", "circle", "path", "img"}


@dataclass
class Element:
    tag: str
    values: dict[str, str]
    inside: list[Element | str] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        return self.values.get("class", "").split()

    def all(self, tag: str = "", kind: str = "", ident: str = "") -> Iterator[Element]:
        """Every element within it, in order."""
        for item in self.inside:
            if isinstance(item, Element):
                fits = (not tag or item.tag == tag) and (not kind or kind in item.classes)
                if fits and (not ident or item.values.get("id") == ident):
                    yield item
                yield from item.all(tag, kind, ident)

    def one(self, tag: str = "", kind: str = "", ident: str = "") -> Element:
        return next(self.all(tag, kind, ident))

    def children(self, tag: str) -> list[Element]:
        return [item for item in self.inside if isinstance(item, Element) and item.tag == tag]

    @property
    def is_place(self) -> bool:
        """Whether it is a place in the source: of the public repository, of the user's tree, or as text."""
        return "at" in self.classes or self.values.get("href", "").startswith("https:")

    @property
    def text(self) -> str:
        return "".join(item if isinstance(item, str) else item.text for item in self.inside)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].inside.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def read_page(path: Path) -> Element:
    """The page's tree. Fails where an element is not ended, or ends another."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert len(reader.open) == 1, [element.tag for element in reader.open]
    return reader.root


def checked_links(folder: Path) -> tuple[list[str], int, set[str]]:
    """The links of all pages that lead nowhere, the number of those within the folder, other hosts."""
    pages = {path: read_page(path) for path in folder.rglob("*.html")}
    ids = {path: [e.values["id"] for e in page.all() if "id" in e.values] for path, page in pages.items()}
    dead = [f"{path}: two elements have one id" for path, found in ids.items() if len(found) > len({*found})]
    inside, hosts = 0, set()
    for path, page in pages.items():
        links = {e.values[name] for e in page.all() for name in ("href", "src") if name in e.values}
        for link in links:
            if link.startswith("https://"):
                hosts.add(link.split("/")[2])
                continue
            place, _, part = link.partition("#")
            target = Path(os.path.normpath(path.parent / unquote(place))) if place else path
            if not target.is_file() or (part and unquote(part) not in ids.get(target, [])):
                dead.append(f"{path}: {link}")
            inside += 1
    return dead, inside, hosts
