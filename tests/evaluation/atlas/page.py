"""Writes docs/atlas.md and its picture: `make atlas`.

The atlas of the installed QEMU and of the next two releases is built from warm indexes. Chromium opens every
page from its file as a telephone and a printer have it, searches, and draws the picture. Nothing is written
where a page has a fault.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from page_tree import checked_links
from pages import marked
from playwright.sync_api import Browser, sync_playwright

from qtrace.atlas.builder import Built, build_atlas
from qtrace.errors import QtraceError
from qtrace.index.build import ensure_index, release_tree
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.guest.program_parts import ask_program

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "atlas.md"
PICTURE = ROOT / "docs" / "atlas.png"
INPUTS = {"docs/atlas.md": ("qtrace/atlas", "qtrace/path", "tests/evaluation/atlas")}
SUITES = ("trixie", "sid")
OPENED = 40  # pages, by chance
WORDS = (
    *("tap_receive_iov", "e1000", "user hostfwd", "net/queue.c", "segmentation"),
    *("msix", "e", "has_vnet_hdr"),
)
LARGEST_PICTURE = 150_000

TEXT = Path(__file__).with_suffix(".md")


def main() -> None:
    try:
        indexes = [ensure_index(current=False)[0].path]
        indexes += [ensure_index(source=release_tree(suite), current=False)[0].path for suite in SUITES]
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
            program = ask_program(find_qemu())
            built = build_atlas(indexes, Path(folder) / "atlas", program=program)
            browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            text = measured(built, browser)
            if found := list(faults(built, browser)):
                sys.exit("\n".join([f"{len(found)} faults; nothing is written", *found[:20]]))
            PAGE.write_text(marked("docs/atlas.md", text))
            draw(built, browser)
            browser.close()
    except QtraceError as exc:
        sys.exit(f"{exc} ({exc.hint}): nothing is written")


def measured(built: Built, browser: Browser) -> str:
    paints, searches = list(first_paints(built, browser)), list(answers(built, browser))
    return TEXT.read_text().format(
        releases="QEMU " + ", ".join(built.releases),
        opened=len(paints),
        chromium=browser.version.split(".")[0],
        asked=len(searches),
        seconds=built.seconds,
        processors=len(os.sched_getaffinity(0)),
        pages=built.pages,
        size=built.size / 1e6,
        largest=built.largest_size / 1e3,
        largest_name=built.largest,
        paint=statistics.median(paints),
        paint_most=max(paints),
        search=statistics.median(searches),
        search_most=max(searches),
        links=checked_links(built.folder)[1],
    )


def faults(built: Built, browser: Browser) -> Iterator[str]:
    """Of every page: links that lead nowhere, words in the console, what it fetches, what is wider than a
    telephone, and what does not belong on paper."""
    yield from checked_links(built.folder)[0]
    page = browser.new_context(viewport={"width": 360, "height": 740}).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url[:7] != "file://" else None)
    for place in sorted(built.folder.rglob("*.html")):
        name = place.relative_to(built.folder)
        page.emulate_media(media="screen")
        page.goto(place.as_uri())
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 360:
            yield f"{name}: {width} px wide"
        page.emulate_media(media="print")
        if page.locator("header.bar").is_visible():
            yield f"{name}: the bar is printed"
        yield from (f"{name}: {words}" for words in said)
        said.clear()
    page.context.close()


def first_paints(built: Built, browser: Browser) -> Iterator[float]:
    """Milliseconds from the navigation to the first contentful paint, each page in its own context."""
    places = sorted(built.folder.rglob("*.html"))
    chosen = [built.folder / built.largest, *random.Random(5).sample(places, OPENED - 1)]
    for place in chosen:
        context = browser.new_context()
        page = context.new_page()
        page.goto(place.as_uri())
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        yield float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        context.close()


def answers(built: Built, browser: Browser) -> Iterator[float]:
    """Milliseconds from each letter typed to the list that is shown, as the page itself takes them."""
    page = browser.new_page()
    page.goto((built.folder / "index.html").as_uri())
    page.locator("#q").focus()
    page.wait_for_function("window.atlasSearch")
    for words in WORDS:
        page.locator("#q").fill("")
        for letter in words:
            page.keyboard.type(letter)
            yield float(page.locator("#hits").get_attribute("data-ms") or "nan")


def draw(built: Built, browser: Browser) -> None:
    """The picture of one page."""
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.goto((built.folder / built.releases[0] / "pairs/virtio-net/tap.html").as_uri())
    page.screenshot(path=PICTURE)
    size = PICTURE.stat().st_size
    if size > LARGEST_PICTURE:
        sys.exit(f"{PICTURE} has {size} bytes, more than {LARGEST_PICTURE}")


if __name__ == "__main__":
    main()
