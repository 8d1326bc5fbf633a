"""The pages in Chromium, opened from their files: by keyboard, on a telephone, dark, without scripts."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from npm_registry import packed_file

from qtrace.atlas.builder import Built
from qtrace.atlas.wording import load_wording

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.slow]
AXE = "4.10.3"
KINDS = (
    *("index.html", "pairs/virtio-net/tap.html", "pairs/e1000/hubport.html", "backends/tap.html"),
    *("nics/e1000e.html", "callbacks/index.html", "callbacks/has_vnet_hdr.html", "stages.html"),
    *("parts/queue.html", "functions/index.html", "functions/hw/net/e1000.c.html"),
    *("pairs/virtio-net/vhost-user.html", "nics/index.html", "backends/index.html", "parts/index.html"),
)
OF_NO_RELEASE = (
    *("index.html", "glossary.html", "modes/index.html", "modes/tap-nat.html"),
    *("post/qemu-tap-networking.html", "evaluation/reachability.html", "evaluation/foreign.html"),
)
QUESTIONS = load_wording("en").questions


@pytest.fixture(scope="module")
def axe() -> str:
    """The text of axe-core."""
    return packed_file("axe-core", AXE, "axe.min.js").read_text()


def places(atlas: Built) -> list[str]:
    """A page of each kind, the largest, and some by chance, the same each time."""
    every = sorted(str(path.relative_to(atlas.folder)) for path in atlas.folder.rglob("*.html"))
    known = [f"{atlas.releases[0]}/{name}" for name in KINDS] + [*OF_NO_RELEASE, atlas.largest]
    return known + random.Random(11).sample([name for name in every if name not in known], 8)


def opened(browser: Browser, atlas: Built, place: str, **settings: Any) -> tuple[Page, list[str]]:
    """The page, and what its console and the network say of it."""
    page = browser.new_context(**settings).new_page()
    page.set_default_timeout(120_000)  # milliseconds
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url[:7] != "file://" else None)
    page.goto((atlas.folder / place).as_uri())
    return page, said


def test_a_telephone_shows_every_kind_and_nothing_is_fetched(chromium: Browser, atlas: Built) -> None:
    for place in places(atlas):
        page, said = opened(chromium, atlas, place, viewport={"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, place
        assert said == [], place
        page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.needs("npm")
def test_no_serious_barrier(chromium: Browser, atlas: Built, axe: str, scheme: str) -> None:
    every = places(atlas)
    for place in every[: len(KINDS) + len(OF_NO_RELEASE)] if scheme == "light" else every[:4]:
        page, _ = opened(chromium, atlas, place, color_scheme=scheme)
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        told = [
            (item["id"], [node["html"][:200] for node in item["nodes"][:3]])
            for item in found
            if item["impact"] in ("serious", "critical")
        ]
        assert told == [], place
        page.context.close()


def test_without_scripts_the_facts_are_there(chromium: Browser, atlas: Built) -> None:
    place = f"{atlas.releases[0]}/pairs/virtio-net/tap.html"
    page, said = opened(chromium, atlas, place, java_script_enabled=False)
    assert page.locator("ol.steps > li").count() > 20 and page.locator("svg.qpath").count() == 4
    assert page.locator("#q").count() == 0 and said == []
    page.locator("details.ways summary").first.click()
    assert page.locator("details.ways[open] li").first.is_visible()


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_switch_turns_the_colours_and_is_kept(chromium: Browser, atlas: Built, scheme: str) -> None:
    page, _ = opened(chromium, atlas, f"{atlas.releases[0]}/pairs/e1000/tap.html", color_scheme=scheme)
    drawn = "getComputedStyle(document.querySelector('.qpath .card')).fill"
    before = background(page), page.evaluate(drawn)
    page.locator("#theme").click()
    after = background(page), page.evaluate(drawn)
    assert before[0] != after[0] and before[1] != after[1]
    page.goto((atlas.folder / "index.html").as_uri())
    assert background(page) == after[0]


def test_printed_pages_have_no_bar_and_no_second_scroll(chromium: Browser, atlas: Built) -> None:
    page, _ = opened(chromium, atlas, f"{atlas.releases[0]}/index.html")
    page.emulate_media(media="print")
    assert not page.locator("header.bar").is_visible() and not page.locator("#filters").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.tall')).overflowY") == "visible"
    assert len(page.pdf()) > 10_000


def find(page: Page, words: str) -> None:
    """Type into the search as a reader does, and wait for its answer."""
    page.keyboard.press("/")
    page.keyboard.type(words)
    page.wait_for_function("document.querySelector('#hits').dataset.ms !== undefined")


def script_seconds(session: CDPSession) -> float:
    """Of processor time that the page's scripts have taken."""
    metrics = {row["name"]: row["value"] for row in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["ScriptDuration"])


def test_the_search_is_quick_and_by_keyboard(chromium: Browser, atlas: Built) -> None:
    page, said = opened(chromium, atlas, f"{atlas.releases[0]}/parts/hub.html")
    find(page, "tap_receive_iov")
    assert page.locator("#hits li").first.inner_text().startswith("tap_receive_iov\n")
    page.keyboard.press("Enter")
    page.wait_for_url("**/functions/net/tap.c.html#tap_receive_iov")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    for words in ("user hostfwd", "net/queue.c", "segmentation", "e", "MSI-X", "has_vnet"):
        page.reload()
        before, began = script_seconds(session), time.monotonic()
        find(page, words)
        took = time.monotonic() - began
        assert page.locator("#hits li[aria-selected=true]").count() == 1, words
        assert 0 <= float(page.locator("#hits").get_attribute("data-ms") or "nan") <= 1000 * took
        # Of the processor, however long the page waits for its turn: 50 ms for the index and each letter.
        assert 0 < script_seconds(session) - before < 0.05 * (1 + len(words)), words
        page.keyboard.press("Escape")
    assert said == []
    find(page, "<img src=x onerror=alert(1)>")
    assert page.locator("#hits img").count() == 0


def test_filters_leave_what_was_asked_for(chromium: Browser, atlas: Built) -> None:
    page, _ = opened(chromium, atlas, f"{atlas.releases[0]}/index.html")
    rows = page.locator("table.grid tbody tr:visible")
    every = rows.count()
    page.locator('[data-filter="name"]').fill("virtio-net-pci")
    assert rows.count() == 1 and rows.first.locator("th").inner_text() == "virtio-net"
    page.locator('[data-filter="name"]').fill("")
    page.locator('[data-filter="built"]').check()
    left = page.locator('table.grid tr[data-built="1"]').count()
    assert 0 < rows.count() == left < every
    columns = page.locator("table.grid thead th[data-built]")
    assert columns.locator("visible=true").count() == page.locator("table.grid th[data-built='1']").count()
    assert columns.locator("visible=true").count() < columns.count()
    page.locator('[data-filter="built"]').uncheck()
    assert rows.count() == every
    page.locator('[data-filter="measured"]').check()
    assert rows.count() == page.locator("table.grid tr:has(td[data-measured])").count() < every


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_a_newcomer_s_question_is_answered_in_three_clicks(
    chromium: Browser, atlas: Built, number: int
) -> None:
    """By the list on the first page, and by the search for its words."""
    page, _ = opened(chromium, atlas, "index.html")
    page.locator("#questions a").nth(number).click()
    wanted = QUESTIONS[number]["page"]
    assert page.url.endswith(f"{atlas.releases[0]}/{wanted}")
    fragment = wanted.partition("#")[2]
    shown = page.locator(f"[id='{fragment}']") if fragment else page.locator("main")
    assert QUESTIONS[number]["answer"] in shown.inner_text()
    page.goto((atlas.folder / "index.html").as_uri())
    find(page, QUESTIONS[number]["ask"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{wanted}")
