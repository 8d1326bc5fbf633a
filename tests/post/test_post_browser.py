"""A built page in Chromium: pictures take the page's colour, and nothing is wider than a telephone."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from test_post_sites import build

STYLE = (
    "<style>html{background:%s;color:%s}body{margin:0 12px}pre,table{display:block;overflow-x:auto}"
    "figure{margin:0}</style>"
)
LOOK = """<script>
window.problems = [];
window.onerror = (text) => window.problems.push(text);
window.onload = () => {
  const texts = [...document.querySelectorAll("svg text")];
  const said = {
    wide: document.documentElement.scrollWidth,
    page: getComputedStyle(document.body).color,
    drawn: [...new Set(texts.map((text) => getComputedStyle(text).fill))],
    broken: [...document.images].filter((image) => !image.naturalWidth).length,
    problems: window.problems,
  };
  const out = document.createElement("output");
  out.textContent = JSON.stringify(said);
  document.body.append(out);
};
</script>"""
THEMES = {"light": ("#ffffff", "rgb(34, 34, 34)"), "dark": ("#1c1c1d", "rgb(232, 232, 232)")}


@pytest.mark.skipif(os.environ.get("QTRACE_POSTS") != "all", reason="a part of 'make posts-check'")
@pytest.mark.needs("chromium", "jekyll")
@pytest.mark.parametrize("theme", THEMES)
def test_a_page_in_a_browser(theme: str, tmp_path: Path) -> None:
    pages = [path for path in build("al-folio", tmp_path).rglob("*.html") if "First." in path.read_text()]
    (page,) = [path for path in pages if "<h1>" in path.read_text()]
    style = STYLE % THEMES[theme]
    page.write_text(page.read_text().replace("</head>", f"{style}{LOOK}</head>"))
    # The page's theme is not the system's: Chromium says that the system is light.
    argv = ["chromium", "--headless", "--no-sandbox", "--window-size=360,800", "--virtual-time-budget=3000"]
    done = subprocess.run([*argv, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=60)
    found = re.search(r"<output>(.*?)</output>", done.stdout)
    assert found, done.stderr[-500:]
    said = json.loads(found[1])
    assert said["drawn"] == [said["page"]] == [THEMES[theme][1]]
    assert said["broken"] == 0 and said["problems"] == [] and said["wide"] <= 500  # headless has no less
