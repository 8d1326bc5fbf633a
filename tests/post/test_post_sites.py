"""An article at each site: front matter, headings, what the site's own languages would take for a command."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from markdown_it import MarkdownIt

from qtrace.errors import PostError
from qtrace.post.article import Article, Chapter, Diagram, Grid, Listing, Picture, Prose
from qtrace.post.site import load_site, site_names, write_article
from qtrace.post.svg import Canvas


def picture(name: str) -> Picture:
    canvas = Canvas(name, "两台 <machines>")
    canvas.box(0, 0, 90, 40, ["vm1", "10.0.2.11"])
    canvas.line([(0, 0), (10, 10)], arrow=True)
    return Picture(name, "两台 <machines>", canvas.svg())


def article() -> Article:
    """With what could be taken for Liquid, for nunjucks, for a shortcode, for a formula."""
    blocks = (
        Prose("It costs $5 or $7 and `$6`, says {{ page.secret }} and {% include secret %}."),
        Listing("{{ page.secret }} {{< secret >}} $HOME\n```\nend", "console"),
        Grid(("a", "b"), (("x", "1"), ("`y`", "2")), frozenset({1})),
        picture("topology"),
        Diagram("sequenceDiagram\n    a->>b: c\n", picture("sequence")),
    )
    chapters = (Chapter("", (Prose("First."),)), Chapter("One", blocks), Chapter("Two", (Prose("Last."),)))
    return Article("a-post", "zh", '标题 "quoted"', "一句话", "2026-11-27", ("qemu", "tap"), chapters)


def written(site: str) -> tuple[str, dict[str, str]]:
    files = write_article(article(), load_site(site), "{}\n")
    (page,) = [text for path, text in files.items() if path.endswith(".md")]
    return page, files


@pytest.mark.parametrize("site", site_names())
def test_a_page_has_one_title_and_its_chapters(site: str) -> None:
    page, _ = written(site)
    body = re.sub(r"\A---\n.*?\n---\n", "", page, flags=re.DOTALL)
    tokens = MarkdownIt().parse(body)
    headings = [(token.tag, text.content) for token, text in pairwise(tokens) if token.type == "heading_open"]
    firsts = [text for tag, text in headings if tag == "h1"]
    assert firsts == (['标题 "quoted"'] if site in ("plain", "mkdocs") else [])
    assert [text for tag, text in headings if tag == "h2"] == ["One", "Two"]


@pytest.mark.parametrize("site", [name for name in site_names() if name != "plain"])
def test_front_matter_is_yaml_that_says_what_was_meant(site: str) -> None:
    page, _ = written(site)
    head = dict(line.split(": ", 1) for line in page.split("---\n")[1].splitlines() if ": " in line)
    assert json.loads(head["title"]) == '标题 "quoted"'
    assert json.loads(head["tags"]) == ["qemu", "tap"]
    assert head["date"] == "2026-11-27"


def test_al_folio_has_what_its_theme_reads() -> None:
    page, files = written("al-folio")
    for line in ("layout: post", "giscus_comments: true", "related_posts: false", "toc:", "mermaid:"):
        assert f"\n{line}" in page
    assert set(files) == {
        "_posts/2026-11-27-a-post-zh.md",
        "assets/img/a-post-zh/topology.svg",
        "_includes/figures/a-post-zh/topology.svg",
        "assets/json/a-post-zh.facts.json",
    }
    assert "```mermaid\nsequenceDiagram" in page
    dollar = '<span class="tex2jax_ignore">$</span>'
    assert f"{dollar}5 or {dollar}7 and `$6`" in page


@pytest.mark.parametrize("site", ["al-folio", "jekyll", "hexo"])
def test_nothing_is_left_for_liquid(site: str) -> None:
    """But for what the profile itself puts in."""
    page, _ = written(site)
    rest = re.sub(r"\{% raw %\}.*?\{% endraw %\}", "", page, flags=re.DOTALL)
    rest = re.sub(r"\{% include figures/a-post-zh/[a-z]+\.svg %\}", "", rest)
    assert not re.search(r"\{\{|\{%", rest)


def test_hugo_reads_no_shortcode_but_ours() -> None:
    page, files = written("hugo")
    assert re.findall(r"\{\{[<%].*?\}\}", page) == [
        *("{{< qtrace-wide >}}", "{{< /qtrace-wide >}}"),
        '{{< qtrace-figure "figures-zh/topology.svg" >}}',
        '{{< qtrace-figure "figures-zh/sequence.svg" >}}',
    ]
    assert {f"layouts/shortcodes/qtrace-{name}.html" for name in ("figure", "wide")} < set(files)


@pytest.mark.parametrize("site", site_names())
def test_a_drawing_takes_the_colour_of_the_page(site: str) -> None:
    _, files = written(site)
    drawings = [text for path, text in files.items() if path.endswith(".svg")]
    assert drawings
    for svg in drawings:
        assert not re.search(r'(fill|stroke)="(?!currentColor|none)', svg)
        assert ("<style>" in svg) == (site == "plain")  # a page's own style is nobody else's business
        assert "\n\n" not in svg and "&lt;machines&gt;" in svg


def test_an_unknown_site_is_refused() -> None:
    with pytest.raises(PostError, match="no profile"):
        load_site("wordpress")


@pytest.mark.parametrize("site", [name for name in site_names() if name != "plain"])
def test_what_is_wide_scrolls_by_itself(site: str) -> None:
    """Whether the theme sees to it or not, and by the keyboard too. A drawing's text stays three quarters of
    its size."""
    page, files = written(site)
    around = page.partition("| a | b |")[0] + "".join(files[name] for name in files if name.endswith(".html"))
    assert re.search(r"overflow-x: ?auto", around)
    page += "".join(files[name] for name in files if name.endswith(".html"))
    assert '<figure role="group" style="overflow-x:auto" tabindex="0">' in page
    for name, svg in files.items():
        if name.endswith(".svg"):
            found = re.search(r'width="(\d+)" style="min-width:(\d+)px;max-width:100%', svg)
            assert found and abs(int(found[2]) - int(found[1]) * 0.75) <= 0.5
