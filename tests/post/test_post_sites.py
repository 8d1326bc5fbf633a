"""An article at each site: front matter, headings, what the site's own languages would take for a command."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from qtrace.errors import PostError
from qtrace.post.article import Article, Chapter, Diagram, Grid, Listing, Picture, Prose
from qtrace.post.site import load_site, site_names, write_article
from qtrace.post.svg import Canvas

LAYOUT = (
    '<!doctype html><html lang="{{ page.lang }}"><head><meta charset="utf-8"></head>'
    "<body><h1>{{ page.title }}</h1>{{ content }}</body></html>"
)


def picture(name: str) -> Picture:
    canvas = Canvas(name, "两台 <machines>")
    canvas.box(0, 0, 90, 40, ["vm1", "10.0.2.11"])
    canvas.line([(0, 0), (10, 10)], arrow=True)
    return Picture(name, "两台 <machines>", canvas.svg())


def article() -> Article:
    """With what could be taken for Liquid, for nunjucks, for a shortcode, for a formula."""
    blocks = (
        Prose("It costs $5 and `$6`, says {{ page.secret }} and {% include secret %}."),
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
    assert '<span class="tex2jax_ignore">$</span>5 and `$6`' in page


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
        '{{< qtrace-figure "figures-zh/topology.svg" >}}',
        '{{< qtrace-figure "figures-zh/sequence.svg" >}}',
    ]
    assert "layouts/shortcodes/qtrace-figure.html" in files


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


def build(site: str, folder: Path) -> Path:
    """The article in a blog that the site's own program builds."""
    for path, text in written(site)[1].items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    if site in ("al-folio", "jekyll"):
        (folder / "_layouts").mkdir()
        (folder / "_layouts/post.html").write_text(LAYOUT)
        (folder / "_config.yml").write_text("markdown: kramdown\n")
        argv, out = ["jekyll", "build", "--quiet"], "_site"
    else:
        (folder / "config.toml").write_text('defaultContentLanguage = "zh"\n[languages.zh]\n')
        page = "<!doctype html><html><body><h1>{{ .Title }}</h1>{{ .Content }}</body></html>"
        (folder / "layouts/_default").mkdir(parents=True)
        (folder / "layouts/_default/single.html").write_text(page)
        argv, out = ["hugo", "--quiet"], "public"
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / out


@pytest.mark.parametrize(
    "site",
    [
        pytest.param("al-folio", marks=[pytest.mark.needs("jekyll"), pytest.mark.slow]),
        pytest.param("hugo", marks=[pytest.mark.needs("hugo"), pytest.mark.slow]),
    ],
)
def test_the_site_s_own_program_builds_it(site: str, tmp_path: Path) -> None:
    pages = [
        path.read_text() for path in build(site, tmp_path).rglob("*.html") if "First." in path.read_text()
    ]
    (html,) = [page for page in pages if "<h1>" in page]
    assert html.count("<h1") == 1 and html.count("<h2") == 2
    assert html.count("<svg") == (1 if site == "al-folio" else 2) and "viewBox=" in html
    assert "{{ page.secret }}" in html and "{% include secret %}" in html
    assert "<table>" in html
