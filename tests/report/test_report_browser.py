"""report.html of a real run in Chromium, from its file: by keyboard, on a telephone, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from large_run import make_large_run
from test_report import HOSTILE, add_failure, make_run

from qtrace.report.answers import WHOLE
from qtrace.report.render import LARGEST, render
from qtrace.store.run import RunReader

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.slow]
COMPARED = Path(__file__).parents[1] / "store" / "runs" / "format-2" / "compared"
# The contrast of each text in the page with the paper below it, as WCAG 2 has it; the least is returned. A
# heat map's boxes are translucent: they are laid on the paper.
CONTRAST = """() => {
  const parse = text => { const [r, g, b, a = 1] = text.match(/[0-9.]+/g).map(Number); return [r, g, b, a] };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const on = (top, under, a) => under.slice(0, 3).map((v, i) => top[i] * a + v * (1 - a));
  const paper = parse(getComputedStyle(document.body).backgroundColor);
  let least = 99;
  for (const text of document.querySelectorAll('p, li, td, th, summary, figure.chart svg text')) {
    let under = paper, style = getComputedStyle(text);
    for (let up = text; up; up = up.parentElement) {
      const fill = parse(getComputedStyle(up).backgroundColor);
      if (fill[3] === 1) { under = fill; break }
    }
    const box = text.closest('g')?.querySelector(':scope > rect');
    if (box && box.getAttribute('fill') !== 'none')
      under = on(parse(getComputedStyle(box).fill), paper, +getComputedStyle(box).fillOpacity);
    const ink = parse(text.namespaceURI.endsWith('svg') ? style.fill : style.color);
    const two = [light(ink), light(under)].sort((a, b) => b - a);
    least = Math.min(least, (two[0] + 0.05) / (two[1] + 0.05));
  }
  return least }"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    render(RunReader.open(COMPARED), out)
    return out / "report.html"


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("chinese")
    render(RunReader.open(COMPARED), out, ("html",), "zh")
    return out / "report.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up run with a failure, and names that a page could take for markup."""
    folder = tmp_path_factory.mktemp("hostile")
    run = make_run(folder / "run", repetitions=1, venue_reason=HOSTILE, conditions={HOSTILE: HOSTILE})
    add_failure(run, HOSTILE * 20, kind="lost")
    render(RunReader.open(run), folder / "out")
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def excerpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of more cells than a page can show."""
    folder = tmp_path_factory.mktemp("excerpt")
    render(RunReader.open(make_large_run(folder / "run", WHOLE + 1)), folder / "out")
    return folder / "out" / "report.html"


def opened(browser: Browser, file: Path, **settings: Any) -> tuple[Page, list[str]]:
    """The page, and what its console and the network say of it."""
    page = browser.new_context(**settings).new_page()
    page.set_default_timeout(120_000)  # milliseconds
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url[:7] != "file://" else None)
    page.goto(file.as_uri())
    return page, said


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_needs_no_sideways_scroll(
    chromium: Browser, real: Path, chinese: Path, hostile: Path, excerpt: Path, scheme: str
) -> None:
    for file in (real, chinese, hostile, excerpt):
        page, said = opened(chromium, file, viewport={"width": 360, "height": 740}, color_scheme=scheme)
        for open_all in (False, True):
            if open_all:
                page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, (file, open_all)
        assert said == [] and file.stat().st_size < LARGEST
        page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(chromium: Browser, real: Path, excerpt: Path, scheme: str) -> None:
    for file in (excerpt, real):
        page, _ = opened(chromium, file, color_scheme=scheme)
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert page.evaluate(CONTRAST) >= 4.5
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(253, 253, 252)") == (scheme == "light")


def test_the_first_screen_is_the_answers(chromium: Browser, real: Path) -> None:
    page, _ = opened(chromium, real, viewport={"width": 1280, "height": 800})
    for text in (
        "tap + vhost is fastest with 675 Mbit/s",
        "tap + vhost is faster: 1.46 × tap (1.09 to 1.95 ×), because",
    ):
        box = page.get_by_text(text).first.bounding_box()
        assert box and box["y"] + box["height"] <= 800, text
    # The tables are folded.
    assert page.locator("table:visible").count() == 0 and page.locator("details").count() > 15


def test_the_first_screen_of_an_excerpt_says_what_it_is(chromium: Browser, excerpt: Path) -> None:
    page, _ = opened(chromium, excerpt, viewport={"width": 1280, "height": 800})
    box = page.get_by_text(f"of {WHOLE + 1} cells").first.bounding_box()
    assert box and box["y"] + box["height"] <= 800
    maps = page.locator("#s-overview figure svg")
    assert maps.count() == 2 and page.locator("#s-heat-maps").count() == 0


def test_by_keyboard(chromium: Browser, real: Path) -> None:
    """Tab reaches the table's title, its focus is visible, Enter opens it, and Tab reaches the table."""
    page, _ = opened(chromium, real)
    first = page.locator("#s-factors summary").first
    for _ in range(60):
        page.keyboard.press("Tab")
        if first.evaluate("one => one === document.activeElement"):
            break
    outline = first.evaluate("one => getComputedStyle(one).outlineStyle + getComputedStyle(one).outlineWidth")
    assert outline == "solid3px"
    table = page.locator("#s-factors table").first
    assert not table.is_visible()
    page.keyboard.press("Enter")
    assert table.is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.querySelector('table') !== null")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert not table.is_visible()


def test_a_heat_map_has_text_in_its_cells_and_reasons(chromium: Browser, real: Path) -> None:
    page, _ = opened(chromium, real, viewport={"width": 360, "height": 740})
    maps = page.locator("#s-heat-maps figure svg")
    assert maps.count() == 2
    said = maps.first.text_content() or ""
    assert (
        "virtio-net-pci on tap + vhost: 675 Mbit/s" in said
        and "e1000 on tap + vhost: not in the plan" in said
    )
    size = maps.first.locator("text", has_text="675 Mbit/s").first.evaluate(
        "one => parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a"
    )
    assert size >= 9, "text that is too small to read on a telephone"
    trips = maps.nth(1).text_content() or ""
    assert "ms" in trips and "µs" not in trips
