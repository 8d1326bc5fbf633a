"""The project's own site (`make site`) in Chromium: its switch of colours, its tables on a telephone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opened_page import LOOK, in_order, opened, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
# Where names of headings, tables or texts are odd.
PAGES = (
    *("CHANGELOG.html", "docs/foreign.html", "docs/releases.html"),
    "reports/posts/qemu-tap-networking/zh.html",
)
BACK = "getComputedStyle(document.body).backgroundColor"


@pytest.mark.needs("chromium")
@pytest.mark.slow
def test_the_project_s_site_in_a_browser(chromium: Browser, tmp_path: Path) -> None:
    atlas, site = tmp_path / "atlas", tmp_path / "site"
    atlas.mkdir()
    (atlas / "index.html").write_text("<!doctype html><title>atlas</title>")
    subprocess.run([sys.executable, ROOT / ".ci" / "site", atlas, site], check=True, timeout=600)
    with served(site) as root:
        for place in PAGES:
            page, said = opened(chromium, root, place, color_scheme="light")
            in_order(page.evaluate(LOOK))
            light = page.evaluate(BACK)
            page.locator("[data-bs-theme-value=dark]").dispatch_event("click")
            assert page.evaluate(BACK) != light and said == [], place
            page.context.close()
