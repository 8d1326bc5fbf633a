"""A site's profile, as data, and the files that an article becomes there."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources

from qtrace.errors import PostError
from qtrace.post.article import Article, Block, Diagram, Grid, Listing, Picture, Prose
from qtrace.post.language import load_language
from qtrace.post.svg import page_svg, standalone_svg

__all__ = ["Site", "load_site", "site_names", "write_article"]

_CODE = re.compile(r"(`+[^`]*`+|<[^>]*>|\]\([^)]*\))")
_LIQUID = re.compile(r"\{[{%]")


@dataclass(frozen=True, slots=True)
class Site:
    """`page`, `figures`, `facts` and `includes` are places below the blog's folder; `heading` stands
    before the text; `picture` and `table` are how a figure and a table are put in. `escapes` are names of
    `_ESCAPES`; `standalone`: a figure is a file that a reader's system gives its colours. `files` are
    further files that the site needs once."""

    name: str
    page: str
    figures: str
    facts: str
    heading: str
    picture: str
    mermaid: bool
    table: str = "{table}"
    escapes: tuple[str, ...] = ()
    includes: str = ""
    standalone: bool = False
    files: Mapping[str, str] = field(default_factory=dict)


def site_names() -> list[str]:
    """The profiles that there are."""
    folder = resources.files("qtrace.post") / "sites"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_site(name: str) -> Site:
    """A profile by its name. Raises PostError."""
    if name not in site_names():
        raise PostError(
            f"there is no profile of a site {name!r}", hint=f"there are: {', '.join(site_names())}"
        )
    raw = tomllib.loads((resources.files("qtrace.post") / "sites" / f"{name}.toml").read_text())
    raw["escapes"] = tuple(raw["escapes"])
    if unknown := set(raw["escapes"]) - set(_ESCAPES):
        raise PostError(f"the profile {name} asks for the escape {min(unknown)}, which is not known")
    try:
        return Site(name, **raw)
    except TypeError as exc:
        raise PostError(f"the profile {name}: {exc}") from exc


def write_article(article: Article, site: Site, facts: str) -> dict[str, str]:
    """Every file of the article at this site: path below the blog's folder -> text. `facts` is
    facts.json's."""
    names = {
        "slug": article.slug,
        "language": article.language,
        "html": load_language(article.language).html,
        "date": article.date,
        "title": article.title,
        "title_yaml": json.dumps(article.title, ensure_ascii=False),
        "description_yaml": json.dumps(article.description, ensure_ascii=False),
        "tags": json.dumps(list(article.tags), ensure_ascii=False),
    }
    parts = []
    for chapter in article.chapters:
        if chapter.title:
            parts.append(f"## {_prose(site, chapter.title)}")
        parts += [_block(site, block, names) for block in chapter.blocks]
    text = site.heading.lstrip("\n").format(**names) + "\n\n".join(parts) + "\n"
    files = {site.page.format(**names): text, site.facts.format(**names): facts, **site.files}
    for picture in _pictures(article, site):
        make = standalone_svg if site.standalone else page_svg
        file = f"{picture.name}.{article.language}.svg" if site.standalone else f"{picture.name}.svg"
        files[f"{site.figures.format(**names)}/{file}"] = make(picture.svg)
        if site.includes:
            files[f"{site.includes.format(**names)}/{file}"] = page_svg(picture.svg)
    return files


def _pictures(article: Article, site: Site) -> list[Picture]:
    found = []
    for block in article.blocks():
        if isinstance(block, Diagram) and not site.mermaid:
            found.append(block.picture)
        elif isinstance(block, Picture):
            found.append(block)
    return found


def _block(site: Site, block: Block, names: Mapping[str, str]) -> str:
    if isinstance(block, Diagram):
        if site.mermaid:
            return _fenced(site, "mermaid", block.mermaid)
        block = block.picture
    if isinstance(block, Prose):
        return _prose(site, block.text)
    if isinstance(block, Listing):
        return _fenced(site, block.syntax, block.text)
    if isinstance(block, Grid):
        return _grid(site, block)
    file = f"{block.name}.{names['language']}.svg" if site.standalone else f"{block.name}.svg"
    values = dict(names, file=file, words=block.words.replace("]", ")"), svg=page_svg(block.svg))
    return site.picture.format(**values)


def _grid(site: Site, grid: Grid) -> str:
    line = "| " + " | ".join(_prose(site, head) for head in grid.heads) + " |"
    rule = "| " + " | ".join("---:" if at in grid.numbers else "---" for at in range(len(grid.heads))) + " |"
    rows = ["| " + " | ".join(_prose(site, cell) for cell in row) + " |" for row in grid.rows]
    return site.table.format(table="\n".join([line, rule, *rows]))


def _fenced(site: Site, syntax: str, text: str) -> str:
    text = text.rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    block = f"{fence}{syntax}\n{text}\n{fence}"
    if "liquid" in site.escapes and _LIQUID.search(text):
        return f"{{% raw %}}\n{block}\n{{% endraw %}}"
    return (
        block.replace("{{<", "{\u2060{<").replace("{{%", "{\u2060{%")
        if "shortcode" in site.escapes
        else block
    )


def _prose(site: Site, text: str) -> str:
    for name in site.escapes:
        text = _ESCAPES[name](text)
    return text


def _liquid(text: str) -> str:
    return _LIQUID.sub(lambda found: f"{{% raw %}}{found[0]}{{% endraw %}}", text)


def _mathjax(text: str) -> str:
    """A dollar outside of code begins no formula: MathJax passes over elements of this class."""
    parts = _CODE.split(text)
    dollar = '<span class="tex2jax_ignore">$</span>'
    return "".join(part if at % 2 else part.replace("$", dollar) for at, part in enumerate(parts))


def _shortcode(text: str) -> str:
    return text.replace("{{<", "{\u2060{<").replace("{{%", "{\u2060{%")


_ESCAPES: dict[str, Callable[[str], str]] = {"liquid": _liquid, "mathjax": _mathjax, "shortcode": _shortcode}
