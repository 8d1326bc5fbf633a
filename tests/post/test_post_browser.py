"""The committed posts in Chromium, as each site's own program builds them: nothing broken, nothing fetched
from elsewhere, in both themes, on a telephone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from blogs import BUILDERS, THEMES, Blog, build, profile_of
from committed_article import POSTS, drawings, read_article
from opened_page import DRAWN, LOOK, in_order, opened, served
from test_post_sites import article as awkward

from qtrace.post.article import Article, Diagram, Grid, Listing
from qtrace.post.compose import load_post, post_names
from qtrace.post.language import language_names
from qtrace.post.site import load_site, write_article

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CASES = [(name, language) for name in post_names() for language in language_names()]
NEEDS = {"al-folio": ("jekyll", "npm"), "jekyll": ("jekyll",), "hugo": ("hugo",), "hexo": ("npm",)}


def sites(*names: str) -> list[Any]:
    """Parameters, with what each site's own program needs."""
    needs = {name: ("chromium", *NEEDS.get(name.partition("-next")[0], ())) for name in names}
    return [pytest.param(name, marks=[pytest.mark.needs(*needs[name]), pytest.mark.slow]) for name in names]


# One for each site every time, no two the same; the others are long.
SAMPLE = dict(zip(BUILDERS, [CASES[0], CASES[3], CASES[5], CASES[6], CASES[2]], strict=True))


@pytest.mark.parametrize(("name", "language"), CASES)
def test_the_article_read_back_is_the_committed_page(name: str, language: str) -> None:
    kind = load_post(name)
    files = write_article(read_article(name, language), load_site("plain"), "{}\n")
    for path, text in files.items():
        if not path.endswith(".json"):
            assert text == (POSTS / path).read_text(), path
    assert f"{kind.slug}/{language}.md" in files


@pytest.fixture(scope="module")
def blogs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Blogs by site, each with every committed post and the awkward article, built when asked for."""
    kept: dict[str, tuple[Blog, str]] = {}
    with contextlib.ExitStack() as stack:

        def blog(site: str) -> tuple[Blog, str]:
            if site not in kept:
                articles = [awkward(), *(read_article(*case) for case in CASES)]
                built = build(site, articles, tmp_path_factory.mktemp(site))
                kept[site] = built, stack.enter_context(served(built.folder))
            return kept[site]

        yield blog


def shows(seen: dict[str, Any], site: str, article: Article) -> None:
    """All of the article is on the page, as it was meant."""
    mermaid = profile_of(site).mermaid
    diagrams = [block for block in article.blocks() if isinstance(block, Diagram)] if mermaid else []
    expected = [part.words for part in drawings(article)]
    for diagram in diagrams:
        expected.remove(diagram.picture.words)
    assert seen["drawings"] == expected
    titles = [chapter.title.replace("`", "") for chapter in article.chapters if chapter.title]
    assert [title for title in seen["chapters"] if title in titles] == titles
    grids = [block for block in article.blocks() if isinstance(block, Grid)]
    shapes = [[len(grid.heads)] * (1 + len(grid.rows)) for grid in grids]
    assert seen["rows"] == shapes
    printed = ["".join(text.replace("\u2060", "").split()) for text in seen["listings"]]
    for block in article.blocks():
        if isinstance(block, Listing):
            assert any("".join(block.text.split()) in text for text in printed), block.text
    for left in ("{% raw", "{% endraw", "| ---", "](http", "{::", "{:/", "```"):
        assert left not in seen["text"], left
    assert len(seen["mermaid"]) == len(diagrams)
    for drawn, diagram in zip(seen["mermaid"], diagrams, strict=True):
        arrows = [line.partition(": ")[2] for line in diagram.mermaid.splitlines() if "->>" in line]
        assert (drawn["drawn"], drawn["wrong"], drawn["faint"]) == (1, 0, [])
        assert drawn["arrows"] == arrows


WRONG = """<body style="margin:0;background:white;color:#222"><figure style="margin:0">
<svg width="400" viewBox="0 0 2000 20">
<title>x</title><text y="12" font-size="12" fill="#ddd">faint</text></svg></figure><img src="none.png">
<a href="#none">x</a><div style="overflow:hidden"><table><tr><td><pre>%s</pre></td></tr></table></div>
<mjx-container></mjx-container><link rel="icon" href="data:,"><script src="http://127.0.0.1:9/x.js"></script>"""


@pytest.mark.needs("chromium")
@pytest.mark.slow
def test_a_page_that_is_wrong_is_seen(chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>" + WRONG % ("wide " * 40))
    with served(tmp_path) as root:
        page, said = opened(chromium, root)
        seen = page.evaluate(LOOK)
    assert (seen["wide"], seen["math"], seen["dangling"]) == (400, 1, ["none"])
    assert seen["broken"] == [f"{root}none.png"] and seen["cut"] == ["svg", "TABLE", "PRE"]
    assert len(seen["faint"]) == len(seen["small"]) == 1
    assert "http://127.0.0.1:9/x.js" in said and any("404" in line for line in said)
    page.context.close()


@pytest.mark.parametrize("site", sites(*BUILDERS))
def test_what_could_be_taken_for_a_command_is_text(site: str, chromium: Browser, blogs: Any) -> None:
    blog, root = blogs(site)
    page, said = opened(chromium, root, blog.place(awkward()))
    seen = page.evaluate(LOOK)
    in_order(seen)
    shows(seen, site, awkward())
    assert "It costs $5 or $7 and" in seen["text"] and said == []
    assert "{{ page.secret }} and {% include secret %}" in seen["text"]
    page.context.close()


def look_at(browser: Browser, blogs: Any, site: str, article: Article) -> None:
    """As the system is dark, then light, then turned by the page's own switch."""
    blog, root = blogs(site)
    page, said = opened(browser, root, blog.place(article), color_scheme="dark")
    dark = page.evaluate(LOOK)
    page.emulate_media(color_scheme="light")
    page.reload()
    page.wait_for_function(DRAWN)
    light = page.evaluate(LOOK)
    for seen in (dark, light):
        in_order(seen)
        shows(seen, site, article)
    assert (light["back"] != dark["back"]) == blog.dark
    if blog.switch:
        page.locator(blog.switch).dispatch_event("click")  # where a menu of the theme hides it, too
        turned = page.evaluate(LOOK)
        assert turned["back"] == dark["back"] and turned["faint"] == []
    assert said == []
    page.context.close()


@pytest.mark.parametrize("site", sites(*BUILDERS))
def test_a_committed_post_in_a_browser(site: str, chromium: Browser, blogs: Any) -> None:
    look_at(chromium, blogs, site, read_article(*SAMPLE[site]))


@pytest.mark.parametrize("site", sites(*BUILDERS, *THEMES))
@pytest.mark.long
def test_every_committed_post_in_a_browser(site: str, chromium: Browser, blogs: Any) -> None:
    for case in CASES if site in BUILDERS else CASES[1::5]:  # of a further theme two, one in each language
        if case != SAMPLE.get(site):
            look_at(chromium, blogs, site, read_article(*case))
