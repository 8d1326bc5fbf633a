"""What a post has of a frame's path besides the walk: its drawing, and where the frame is copied."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from qtrace.model import Direction
from qtrace.path.frame_copies import Copied, copies_on
from qtrace.path.walk import walk
from qtrace.post.compose import load_post, post_names
from qtrace.post.language import language_names, load_language
from qtrace.post.material import read_material
from qtrace.post.site import load_site
from qtrace.post.source_links import SourceLinks
from qtrace.post.writing import compose_post
from qtrace.store.index import Index
from qtrace.store.run import RunReader

ROOT = Path(__file__).parent.parent.parent
MATERIAL = ROOT / "reports" / "posts" / "material"
RUN = (
    ROOT / "tests" / "store" / "runs" / "format-2" / "measured"
)  # of virtio-net-pci on tap, frames to the host
CASES = [(name, language) for name in post_names() for language in language_names()]
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"[A-Za-z_]+[0-9]+[A-Za-z0-9_]*")


@functools.cache
def files(name: str, language: str, index: Index, *, measured: bool = False) -> dict[str, str]:
    run = RunReader.open(RUN) if measured else None
    kind = load_post(name)
    return compose_post(kind, language, load_site("plain"), read_material(MATERIAL / name), index, run)


def drawing(name: str, language: str, index: Index, direction: str, *, measured: bool = False) -> list[str]:
    """The title of a drawing, and its lines of text."""
    made = files(name, language, index, measured=measured)
    svg = made[f"{load_post(name).slug}/figures/path-{direction}.{language}.svg"]
    root = ElementTree.fromstring(svg)
    return [part.text or "" for part in root.iter() if part.tag.endswith(("}text", "}title"))]


def rows_below(page: str, head: str) -> list[list[str]]:
    """The cells of each row of the tables that begin with `head`."""
    tables = page.split(f"| {head} | ")[1:]
    lines = [line for table in tables for line in table.split("\n\n")[0].split("\n")[2:]]
    return [re.split(r" \| ", line.strip("| ")) for line in lines]


@pytest.mark.parametrize(("name", "language"), CASES)
@pytest.mark.parametrize("direction", list(Direction))
def test_a_drawing_has_the_stages_of_the_walk(
    name: str, language: str, direction: Direction, index: Index
) -> None:
    kind, words = load_post(name), load_language(language)
    stages = walk(index, kind.nic, kind.netdev, direction=direction).stages
    title, *lines = drawing(name, language, index, direction)
    at = [lines.index(step.function) for step in stages]
    assert at == sorted(at) and len(set(at)) == len(stages)
    said = [line for line in lines if " · " in line][1:]
    assert [line.split(" · ")[0] for line in said] == [step.stage for step in stages]
    assert words.word("core") in [line.split(" · ")[1] for line in said]
    links = SourceLinks(index)
    for step in stages:
        if step.file:
            assert links.place(step.function, step.file, step.line).place in lines
    page = files(name, language, index)[f"{kind.slug}/{language}.md"]
    assert f"![{title}](figures/path-{direction}.{language}.svg)" in page
    assert all(f"{step.stage} {step.function}" in title for step in stages)
    assert ("路径" in title) == (language == "zh")


@pytest.mark.parametrize(("name", "language"), CASES)
def test_a_drawing_can_be_read_on_a_telephone_in_any_theme(name: str, language: str, index: Index) -> None:
    """At 360 px it has three quarters of its size: no text is smaller than 8 px then. Its colours are the
    page's."""
    made = files(name, language, index)
    for direction in Direction:
        svg = made[f"{load_post(name).slug}/figures/path-{direction}.{language}.svg"]
        (width,) = re.findall(r'viewBox="0 0 (\d+) \d+" width', svg)
        assert int(width) * 0.75 <= 360
        assert min(map(float, re.findall(r'font-size="([\d.]+)"', svg))) * 0.75 >= 8
        assert not re.search(r'(fill|stroke)="(?!currentColor|none)', svg)


@pytest.mark.parametrize("language", language_names())
@pytest.mark.parametrize("measured", [False, True])
def test_every_number_drawn_is_a_fact(language: str, measured: bool, index: Index) -> None:
    for name in post_names():
        slug = load_post(name).slug
        facts = json.loads(files(name, language, index, measured=measured)[f"{slug}/facts.{language}.json"])
        known = {
            number for fact in facts["facts"] for number in _NUMBER.findall(_NAME.sub(" ", fact["value"]))
        }
        for direction in Direction:
            lines = drawing(name, language, index, direction, measured=measured)
            # What a line says of the 50th and the 99th percentile are names: p50, p99.
            assert set(_NUMBER.findall(_NAME.sub(" ", " ".join(lines)))) <= known


@pytest.mark.parametrize("language", language_names())
def test_what_the_run_measured_is_drawn(language: str, index: Index) -> None:
    """The times are those of the sequence beside it."""
    page = files("tap", language, index, measured=True)[f"qemu-tap-networking/{language}.md"]
    times = re.findall(r"->>\w+: \w+ \(([^)]*)\)", page.split("```mermaid")[1].split("```")[0])
    lines = drawing("tap", language, index, "tx", measured=True)
    assert times and [re.sub(r"^.*p50 | *, p99.*$", "", line) for line in lines if "p50 " in line] == times
    assert not any("p50 " in line for line in drawing("tap", language, index, "tx"))


@pytest.mark.parametrize(("name", "language"), CASES)
def test_every_copy_on_the_path_is_in_the_post(name: str, language: str, index: Index) -> None:
    kind, words = load_post(name), load_language(language)
    page = files(name, language, index)[f"{kind.slug}/{language}.md"]
    head = {"zh": "复制了什么", "en": "what is copied"}[language]
    rows = rows_below(page, head)
    paths = [walk(index, kind.nic, kind.netdev, direction=direction) for direction in Direction]
    links = SourceLinks(index)
    aside = (Copied.HEADER, Copied.DESCRIPTOR, Copied.FRAGMENT, Copied.SPECIAL)  # where nobody counts them
    for copy in (copy for path in paths for copy in copies_on(index, path)):
        if not copy.counted_as and copy.what in aside:
            continue
        mine = [row for row in rows if f"`{copy.function}`" in row[1]]
        assert any(words.word(f"copied.{copy.what}") in row[0] for row in mine), copy
        for place in copy.places:
            assert any(links.place("", place.file, place.line).place in row[2] for row in mine), place
    # Without a run nobody has counted: a dash each, with its reason; what is beyond is not known.
    assert all(row[3] == "–" and row[4] != "–" for row in rows)
    assert [row[0] for row in rows].count(words.word("copied.beyond")) == 2


@pytest.mark.parametrize("language", language_names())
def test_a_copy_that_was_counted_has_its_bytes(language: str, index: Index) -> None:
    """By writev, as many as the run has of it."""
    page = files("tap", language, index, measured=True)[f"qemu-tap-networking/{language}.md"]
    rows = rows_below(page, {"zh": "复制了什么", "en": "what is copied"}[language])
    stages = RunReader.open(RUN).table("stages").to_pandas()
    mine = stages[(stages["cell"] == "virtio-net-pci+tap+qemu+tx+tcp") & (stages["stage"] == "host")]
    mine = mine[(mine["direction"] == "tx") & mine["attached"].astype(bool)]
    (row,) = [row for row in rows if row[1] == "`writev`"]
    counted = float(row[3].replace(",", ""))
    assert counted == pytest.approx(mine["bytes"].sum() / mine["frames"].sum(), rel=0.005)
    assert row[4] == load_language(language).word("copied.counted")
