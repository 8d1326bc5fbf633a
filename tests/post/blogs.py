"""Blogs with posts in them, built by each site's own program.

Jekyll and Hugo have no theme in Debian: they get a layout of ours, which sets neither tables nor drawings and
has al-folio's conventions (the theme as an attribute, MathJax, Mermaid of marked code). MkDocs and Hexo have
their own themes, whose files that would come from elsewhere are left out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from npm_registry import installed_packages, packed_file

from qtrace.post.article import Article
from qtrace.post.site import Site, load_site, write_article

HEXO = {
    "hexo": "8.1.2",
    "hexo-renderer-ejs": "2.0.0",
    "hexo-renderer-marked": "7.0.1",
    "hexo-renderer-stylus": "3.0.1",
    "hexo-generator-index": "4.0.0",
    "hexo-theme-landscape": "1.1.0",
    "hexo-theme-next": "8.29.0",
    "@next-theme/plugins": "8.29.1",
}
# As al-folio loads them, by the names of the packages.
SCRIPTS = (
    ("d3", "7.9.0", "dist/d3.min.js"),
    ("mermaid", "11.17.2", "dist/mermaid.min.js"),
    ("mathjax", "3.2.2", "es5/tex-mml-chtml.js"),
)
# The rest of a page is what a theme's reset has: long words in code break, listings scroll.
STYLE = """
:root { --back: #ffffff; --text: #222222 }
html[data-theme="dark"] { --back: #1c1c1d; --text: #e8e8e8; color-scheme: dark }
body { background: var(--back); color: var(--text); margin: 0 15px; font-family: sans-serif }
pre { overflow: auto } code { overflow-wrap: break-word } figure { margin: 0 0 1rem; max-width: 90vw }
"""
THEME = """
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.dataset.theme = dark ? "dark" : "light";
"""
SWITCH = """
document.querySelector("#light-toggle").addEventListener("click", () => {
  const page = document.documentElement;
  page.dataset.theme = page.dataset.theme === "dark" ? "light" : "dark";
});
"""
MERMAID = """
for (const code of document.querySelectorAll("pre > code.language-mermaid")) {
  const drawn = document.createElement("pre");
  drawn.className = "mermaid";
  drawn.textContent = code.textContent;
  code.parentElement.replaceWith(drawn);
}
mermaid.initialize({ theme: document.documentElement.dataset.theme === "dark" ? "dark" : "default" });
"""
# MkDocs' switch of the colours asks for these two.
WITHOUT_HIGHLIGHT = (
    '{% extends "base.html" %}{% block extrahead %}<template id="hljs-light"></template>'
    '<template id="hljs-dark"></template>{% endblock %}'
)
MATH = 'window.MathJax = { tex: { inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]] } };'


@dataclass(frozen=True, slots=True)
class Blog:
    """`folder` is what is served; `address` of a page by slug, language and date; `switch` is what is
    clicked to turn the page dark, `dark` whether it is where the system is."""

    folder: Path
    address: str
    switch: str = ""
    dark: bool = True

    def place(self, article: Article) -> str:
        names = {"slug": article.slug, "language": article.language, "day": article.date.replace("-", "/")}
        return self.address.format(**names)


def shell(title: str, content: str, language: str, scripts: str = "") -> str:
    """The layout, with a template's words for what is put in."""
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{title}</title><style>{STYLE}</style><script>{THEME}</script>{scripts}</head><body>"
        f'<button id="light-toggle" aria-label="theme">◐</button><h1>{title}</h1>{content}'
        f"<script>{SWITCH}</script></body></html>"
    )


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def run(argv: Sequence[str], folder: Path) -> None:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def jekyll(folder: Path, scripts: str = "") -> Blog:
    layout = shell("{{ page.title }}", "{{ content }}", "{{ page.lang }}", scripts)
    settings = "markdown: kramdown\npermalink: /blog/:year/:title/\n"
    write(folder, {"_layouts/post.html": layout, "_config.yml": settings})
    run(["jekyll", "build", "--quiet"], folder)
    return Blog(folder / "_site", "blog/2026/{slug}-{language}/", "#light-toggle")


def al_folio(folder: Path) -> Blog:
    words = f"<script>{MATH}</script>"
    for package, version, member in SCRIPTS:
        target = folder / "assets" / "js" / Path(member).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(packed_file(package, version, member), target)
        words += f'<script defer src="/assets/js/{target.name}"></script>'
    write(folder, {"assets/js/mermaid-setup.js": MERMAID})
    return jekyll(folder, words + '<script defer src="/assets/js/mermaid-setup.js"></script>')


def hugo(folder: Path) -> Blog:
    layout = shell("{{ .Title }}", "{{ .Content }}", "{{ .Language.Lang }}")
    settings = 'baseURL = "/"\ndefaultContentLanguage = "zh"\ndefaultContentLanguageInSubdir = true\n'
    settings += "[languages.zh]\n[languages.en]\n"
    write(folder, {"config.toml": settings, "layouts/_default/single.html": layout})
    run(["hugo", "--quiet"], folder)
    return Blog(folder / "public", "{language}/posts/{slug}/", "#light-toggle")


def mkdocs(folder: Path) -> Blog:
    theme = {"name": "mkdocs", "highlightjs": False, "color_mode": "auto", "user_color_mode_toggle": True}
    settings = {"site_name": "blog", "theme": theme | {"custom_dir": "theme"}}
    write(
        folder,
        {
            "theme/main.html": WITHOUT_HIGHLIGHT,
            "mkdocs.yml": yaml.safe_dump(settings),
            "docs/index.md": "# blog\n",
        },
    )
    run([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"], folder)
    return Blog(folder / "site", "posts/{slug}.{language}/", "[data-bs-theme-value=dark]")


def hexo(folder: Path) -> Blog:
    """With the theme that Hexo has by default, which is always light."""
    theme = folder / "themes" / "landscape"
    shutil.copytree(installed_packages("hexo", HEXO) / "hexo-theme-landscape", theme)
    head = theme / "layout" / "_partial" / "head.ejs"
    lines = [line for line in head.read_text().splitlines() if "css('https://" not in line]
    head.write_text("\n".join(lines).replace("</head>", '<link rel="icon" href="data:,"></head>'))
    return _generate(folder, "landscape", {"favicon": ""})


def hexo_next(folder: Path) -> Blog:
    """With the theme NexT, dark where the system is. Its files are its own, and a text is there at once."""
    local = {"internal": "local", "plugins": "local"}
    settings = {"darkmode": True, "vendors": local, "motion": {"enable": False}, "scheme": "Gemini"}
    return _generate(folder, "next", settings, dark=True)


def _generate(folder: Path, theme: str, theme_settings: dict[str, object], *, dark: bool = False) -> Blog:
    modules = installed_packages("hexo", HEXO)
    (folder / "node_modules").symlink_to(modules)
    package = {"name": "blog", "private": True, "hexo": {"version": ""}, "dependencies": HEXO}
    settings = {"title": "blog", "url": "http://127.0.0.1", "language": "zh-CN"}
    words = yaml.safe_dump(settings | {"theme": theme, "theme_config": theme_settings})
    write(folder, {"package.json": json.dumps(package), "_config.yml": words})
    run([str(modules / ".bin" / "hexo"), "generate", "--silent"], folder)
    return Blog(folder / "public", "{day}/{slug}-{language}/", dark=dark)


BUILDERS: dict[str, Callable[[Path], Blog]] = {
    "al-folio": al_folio,
    "jekyll": jekyll,
    "hugo": hugo,
    "mkdocs": mkdocs,
    "hexo": hexo,
}
# Further themes of a site, for the long tests.
THEMES: dict[str, tuple[str, Callable[[Path], Blog]]] = {"hexo-next": ("hexo", hexo_next)}


def profile_of(site: str) -> Site:
    """The profile for a name of `BUILDERS` or `THEMES`."""
    return load_site(THEMES[site][0] if site in THEMES else site)


def build(site: str, articles: Sequence[Article], folder: Path) -> Blog:
    """The articles in a blog of `site`, below `folder`."""
    for article in articles:
        write(folder, write_article(article, profile_of(site), "{}\n"))
    return (THEMES[site][1] if site in THEMES else BUILDERS[site])(folder)
