"""The posts and the pages that measure, as pages of the atlas."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from page_tree import read_page

from qtrace.atlas.builder import Built
from qtrace.atlas.documents import CHECKOUT, EVALUATION, document_html, find_documents
from qtrace.atlas.wording import load_wording, wording_names
from qtrace.errors import StoreError

HOSTILE = """# A <b>post</b>

<script>alert(1)</script>

[run](javascript:alert(1)) [file](file:///etc/passwd) [plain](http://a.example/) [out](https://a.example/x)
[there](#the-same-1) [nowhere](#none) [other](../two/en.md#part) [no part](../two/en.md#none) [gone](gone.md)

![fine](figures/one.svg) ![secret](../../secret.png) ![page](en.md)

## The same
## The same
## Main
"""


class Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.found: list[str] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("href", "src"):
                self.found.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def test_every_post_and_every_page_that_measures_is_a_page(atlas: Built) -> None:
    documents = find_documents("en")
    posts = [document for document in documents if document.kind == "post"]
    assert [document.name for document in documents if document.kind == "evaluation"] == [*EVALUATION]
    assert [post.name for post in posts] == sorted(
        path.name for path in CHECKOUT.glob("reports/posts/qemu-*")
    )
    start = [e.values["href"] for e in read_page(atlas.folder / "index.html").all("a")]
    for document in documents:
        page = read_page(atlas.folder / document.page).one("article")
        fenced = re.sub(r"^```.*?^```$", "", document.text, flags=re.MULTILINE | re.DOTALL)
        headings = re.findall(r"^(#+) ", fenced, re.MULTILINE)
        assert [e.tag for e in page.all() if re.fullmatch(r"h\d", e.tag)] == [
            f"h{len(mark)}" for mark in headings
        ]
        rows = re.findall(r"^\|.*\|$", fenced, re.MULTILINE)
        rules = [row for row in rows if re.fullmatch(r"[|: -]+", row)]
        assert len(list(page.all("tr"))) == len(rows) - len(rules), document.name
        assert document.page in start
        for figure in page.all("img"):
            assert (atlas.folder / document.page).parent.joinpath(figure.values["src"]).is_file()
    for post in posts:
        assert (
            [file.read_bytes() for file in post.figures.values()]
            == [(atlas.folder / post.figure(address)).read_bytes() for address in post.figures]
            != []
        )


@pytest.mark.parametrize("language", wording_names())
def test_a_post_is_in_the_page_s_language(language: str) -> None:
    posts = [document for document in find_documents(language) if document.kind == "post"]
    assert posts and {post.language for post in posts} == {language}
    assert all(load_wording(language).words[f"page_{name}"] for name in EVALUATION)


def test_a_text_of_others_stays_text(tmp_path: Path) -> None:
    posts = tmp_path / "posts"
    for name, text in {"one": HOSTILE, "two": "# Two\n\n## Part\n"}.items():
        (posts / name).mkdir(parents=True)
        (posts / name / "en.md").write_text(text)
    (posts / "one" / "figures").mkdir()
    (posts / "one" / "figures" / "one.svg").write_text("<svg/>")
    (tmp_path / "secret.png").write_text("secret")
    documents = find_documents("zh", posts, root=tmp_path)
    assert [document.language for document in documents] == ["en", "en"]
    html = document_html(documents[0], documents)
    links = Links(html)
    assert "script" not in links.tags and "b" not in links.tags and "alert(1)" in html
    assert links.found == [
        *("https://a.example/x", "#the-same-1", "two.html#part", "two.html", "one-one.svg"),
    ]
    assert links.ids[1:] == ["the-same", "the-same-1", "main-1"]
    assert "secret" in html and "gone" in html  # the words stay


def test_without_a_checkout_there_is_none(tmp_path: Path) -> None:
    assert find_documents("en", root=tmp_path) == ()
    with pytest.raises(StoreError, match="has no post"):
        find_documents("en", tmp_path)
