"""Every file, folder, module, verb and make target that the pages name is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtrace.cli.main import command

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PLACES = ("qtrace", "probes", "analyses", "tests", "docs", "reports", ".ci")
STANDS_FOR_ANY = re.compile(r"(.*/)?([\w-]*NAME|name|MY-PLAN)\.[\w.]+")

FILE = re.compile(r"(?<![\w/.-])[\w*][\w.*-]*(?:/[\w.*-]+)*\.(?:py|bpf\.c|toml|md|sh|pl|sql|j2)(?![\w.]*\w)")
FOLDER = re.compile(r"`((?:[\w.-]+/)+)`")
MODULE = re.compile(r"\bqtrace(?:\.[a-z_]+)+")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
TARGET = re.compile(r"(?:`|^)make ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)", re.MULTILINE)
VERB = re.compile(r"(?:`|^)qtrace ([a-z]+)", re.MULTILINE)


def files() -> Iterator[Path]:
    yield from (path for path in ROOT.iterdir() if path.is_file())
    for place in PLACES:
        yield from (path for path in (ROOT / place).rglob("*") if path.is_file())


NAMES = ["/" + str(path.relative_to(ROOT)) for path in files()]


def is_file(name: str) -> bool:
    """Whether the end of some file's path is `name`; `*` stands for any name."""
    end = re.compile(".*/" + re.escape(name).replace(r"\*", "[^/]*"))
    return any(end.fullmatch(path) for path in NAMES)


def rooms() -> set[str]:
    inside = {path.name for path in (ROOT / "qtrace").iterdir() if path.is_dir()}
    return inside | set(PLACES)


def missing(text: str, page: Path) -> list[str]:
    """Each name in the page's text that nothing has."""
    found = [name for name in FILE.findall(text) if not STANDS_FOR_ANY.fullmatch(name) and not is_file(name)]
    for name in FOLDER.findall(text):
        if name.split("/")[0] in rooms() and not any(
            (ROOT / base / name).is_dir() for base in ("", "qtrace")
        ):
            found.append(name)
    for name in MODULE.findall(text):
        parts = name.split(".")
        # The last part may be a class or a function of the module.
        if not any(_is_module(parts[:length]) for length in (len(parts), len(parts) - 1) if length > 1):
            found.append(name)
    found += [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found += [
        f"make {name}" for words in TARGET.findall(text) for name in words.split() if name not in targets
    ]
    verbs = command.list_commands(None)  # type: ignore[arg-type]
    return found + [f"qtrace {verb}" for verb in VERB.findall(text) if verb not in verbs]


def _is_module(parts: list[str]) -> bool:
    place = ROOT.joinpath(*parts)
    return place.is_dir() or place.with_suffix(".py").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_everything_that_a_page_names_is_there(page: Path) -> None:
    assert missing(page.read_text(), page) == []


def test_a_name_that_is_nowhere_is_found() -> None:
    text = (
        "`index/nothing.py` `trace/nothing/` qtrace.nothing.here [x](nothing.md) `make nothing` "
        "`qtrace nothing` `index/build.py` `trace/session/` qtrace.progress.Progress [x](tour.md) "
        "`make test` `qtrace walk`"
    )
    wrong = ["index/nothing.py", "nothing.md", "trace/nothing/", "qtrace.nothing.here", "nothing.md"]
    assert missing(text, ROOT / "docs" / "x.md") == [*wrong, "make nothing", "qtrace nothing"]


def test_every_page_that_the_code_names_is_there() -> None:
    named = {
        (page, path)
        for path in files()
        if path.suffix in (".py", ".c", ".sql", ".toml") or path.name == "Makefile"
        for page in re.findall(r"\bdocs/[\w-]+\.md", path.read_text())
    }
    assert len(named) > 10
    assert [f"{path}: {page}" for page, path in named if not (ROOT / page).exists()] == []
