"""A page in Chromium as a reader sees it on a telephone, from a server on the loopback."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import SupportsRead, SupportsWrite
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

PHONE = {"width": 360, "height": 740}
# What is on the page; lists of what is wrong are empty.
LOOK = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((parts(colour)[3] ?? 1) > 0.5) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const scrolls = (element) => {
    for (let at = element; at && at !== document.body; at = at.parentElement)
      if (["auto", "scroll"].includes(getComputedStyle(at).overflowX)) return true;
    return false;
  };
  const figures = [...document.querySelectorAll("figure > svg")];
  return {
    wide: document.documentElement.scrollWidth,
    back: behind(document.body),
    broken: [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src),
    dangling: [...document.querySelectorAll("a[href^='#']")].map((link) => link.getAttribute("href").slice(1))
      .filter((name) => name && !document.getElementById(decodeURIComponent(name))),
    drawings: figures.map((svg) => svg.querySelector("title").textContent),
    chapters: [...document.querySelectorAll("h2")].map((head) => head.textContent.trim()),
    cut: [...document.querySelectorAll("table, pre, svg, p, li, h2, h3")].filter((part) =>
      part.getBoundingClientRect().right > innerWidth + 1 && !scrolls(part)).map((part) => part.tagName),
    small: figures.flatMap((svg) => [...svg.querySelectorAll("text")].map((text) =>
      parseFloat(text.getAttribute("font-size")) * svg.getScreenCTM().a)).filter((size) => size < 8),
    faint: figures.flatMap((svg) => [...svg.querySelectorAll("text")].map((text) =>
      contrast(getComputedStyle(text).fill, behind(svg)))).filter((value) => value < 4.5),
    listings: [...document.querySelectorAll("pre")].map((pre) => pre.innerText),
    rows: [...document.querySelectorAll("table")].filter((table) => !table.closest(".modal, figure"))
      .map((table) => [...table.rows].map((row) => row.cells.length)),
    text: (() => {
      const page = document.body.cloneNode(true);
      for (const part of page.querySelectorAll("pre, code, script, style")) part.remove();
      return page.textContent;
    })(),
    math: document.querySelectorAll("mjx-container").length,
    mermaid: [...document.querySelectorAll(".mermaid")].map((box) => ({
      drawn: box.querySelectorAll("svg").length,
      wrong: box.querySelectorAll("svg[aria-roledescription=error]").length,
      arrows: [...box.querySelectorAll(".messageText")].map((text) => text.textContent),
      faint: [...box.querySelectorAll(".messageText")].map((text) =>
        contrast(getComputedStyle(text).fill, behind(box))).filter((value) => value < 4.5),
    })),
  };
}"""


# Whether formulas and diagrams are drawn.
DRAWN = """async () => {
  await window.MathJax?.startup.promise;
  return [...document.querySelectorAll(".mermaid")].every((box) => box.querySelector("svg"));
}"""


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        """Nothing."""

    def copyfile(self, source: SupportsRead[bytes], outputfile: SupportsWrite[bytes]) -> None:
        """A page that is left before all of it has come is no error."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            super().copyfile(source, outputfile)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder's address on the loopback."""
    handler = functools.partial(_Silent, directory=os.fspath(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def opened(browser: Browser, root: str, place: str = "", **settings: Any) -> tuple[Page, list[str]]:
    """The page, all drawn, and what its console says and what it asked for elsewhere."""
    page = browser.new_context(viewport=PHONE, **settings).new_page()
    page.set_default_timeout(120_000)  # milliseconds
    said: list[str] = []

    def printed(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            said.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith((root, "data:")):
            said.append(request.url)

    page.on("console", printed)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", asked)
    page.goto(root + place)
    page.wait_for_function(DRAWN)
    return page, said


def in_order(seen: dict[str, Any]) -> None:
    """Nothing is broken, too wide, out of reach, too faint, too small, or taken for a formula."""
    assert seen["wide"] <= PHONE["width"]
    assert seen["broken"] == seen["dangling"] == []
    assert seen["cut"] == seen["faint"] == seen["small"] == []
    assert seen["math"] == 0
