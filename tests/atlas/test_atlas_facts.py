"""The pages have the same facts as the verbs, their links lead somewhere, and names stay names."""

from __future__ import annotations

import json
import random
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from page_tree import Element, checked_links, read_page

from qtrace.atlas.builder import MARK, Built, build_atlas
from qtrace.atlas.permalinks import backend_page, callback_page, fragment, nic_page, pair_page
from qtrace.atlas.style import switchable
from qtrace.atlas.wording import load_wording, wording_names
from qtrace.binary.symbols.built_backends import backends_left_out
from qtrace.cli.main import command
from qtrace.errors import NoPath, StoreError
from qtrace.explain.cost import cost
from qtrace.explain.explanation import init_functions
from qtrace.lab.guest.guest import find_qemu
from qtrace.model import Direction
from qtrace.path.catalogue import map_tree
from qtrace.path.handed_queues import CARRIERS
from qtrace.path.walk import walk
from qtrace.path.ways import with_ways
from qtrace.report.walk_formats import write_walk
from qtrace.report.walked import walked_path
from qtrace.store.index import Index

T = load_wording("en")
# Of places in the source, and of what the posts refer to.
HOSTS = {"gitlab.com", "github.com", "gitlab.freedesktop.org", "www.qemu.org", "docs.oasis-open.org"}
LARGEST_PAGE, LARGEST_RELEASE = 300_000, 14_000_000


def of_release(index: Index) -> list[tuple[str, str]]:
    data = map_tree(index)
    return [(nic["name"], netdev["name"]) for nic in data["nics"] for netdev in data["backends"]]


def places(element: Element) -> list[tuple[str, str]]:
    """(text, place) of each line of evidence."""
    found = []
    for line in element.children("div"):
        if "why" in line.classes:
            at = next(item for item in line.all() if item.is_place).text
            found.append((line.text.removesuffix(at).strip(), at))
    return found


def shown_steps(section: Element) -> list[dict[str, object]]:
    """What a page says of one direction."""
    steps = []
    for item in section.one("ol", "steps").children("li"):
        functions, at = item.children("a") + item.children("code"), item.text
        name = next(e.text for e in functions if e.tag == "code" or list(e.all("code")))
        where = [e.text for e in item.children("a") + item.children("span") if e.is_place]
        roles = [e.text for e in item.children("b")]
        ways = []
        for details in item.all("details", "ways"):
            for way in details.one("ul").children("li"):
                condition = [e.one("code").text for e in way.all("span", "if")]
                ways.append((way.one("code").text, condition[0] if condition else ""))
        assert where or T.outside in at
        steps.append(
            {
                "function": name,
                "place": where[0] if where else "",
                "stage": roles[0] if roles else None,
                "evidence": places(item),
                "ways": ways,
                "notes": [e.text for e in item.children("div") if "note" in e.classes],
            }
        )
    return steps


def told_steps(data: dict[str, object]) -> list[dict[str, object]]:
    """The same of `walk --format json`."""
    steps = []
    ways = {item["stage"]: item["ways"] for item in data["stages"]}  # type: ignore[attr-defined]
    for step in data["steps"]:  # type: ignore[attr-defined]
        call = step["call"]
        evidence = call["evidence"] if call else ()
        line = f":{step['line']}" if step["line"] else ""
        others = ways.get(step["stage"], []) if step["stage"] else []
        notes = ["called in a loop"] if call and call["loop"] else []
        steps.append(
            {
                "function": step["function"],
                "place": f"{step['file']}{line}" if step["file"] else "",
                "stage": step["stage"],
                "evidence": [(item["why"], f"{item['file']}:{item['line']}") for item in evidence],
                "ways": [(w["function"], w["condition"]) for w in others] if len(others) > 1 else [],
                "notes": notes + ([step["note"]] if step["note"] else []),
            }
        )
    return steps


def test_two_hundred_pairs_are_walked_as_the_verb_walks_them(installed: Index, pages: Path) -> None:
    pairs = random.Random(21).sample(of_release(installed), 200)
    walks = 0
    for nic, netdev in pairs:
        page = read_page(pages / pair_page(nic, netdev))
        if netdev in CARRIERS:
            assert list(page.all("section", ident="handed"))
            continue
        for direction in Direction:
            try:
                path = with_ways(installed, walk(installed, nic, netdev, direction=direction))
            except NoPath as exc:
                reasons = [e.text for e in page.one("section", ident="walk").all("p", "reason")]
                assert f"{T.no_walk}: {exc}" in reasons
                continue
            data = json.loads(write_walk(walked_path(path, installed), "json"))
            section = page.one("section", ident=f"walk-{direction}")
            assert shown_steps(section) == told_steps(data), (nic, netdev, direction)
            walks += 1
    assert walks > 100


@pytest.mark.parametrize("direction", list(Direction))
def test_a_page_is_what_the_command_line_prints(installed: Index, pages: Path, direction: Direction) -> None:
    argv = ["walk", "e1000", "tap", "--direction", direction.value, "--format", "json"]
    done = CliRunner().invoke(command, [*argv, "--index", str(installed.path)])
    section = read_page(pages / pair_page("e1000", "tap")).one("section", ident=f"walk-{direction}")
    assert shown_steps(section) == told_steps(json.loads(done.stdout))


def test_the_grid_is_the_map(installed: Index, pages: Path) -> None:
    data, page = map_tree(installed), read_page(pages / "index.html")
    table = page.one("table", "grid")
    heads = [cell.text for cell in table.one("thead").all("th")]
    assert heads[1 : 1 + len(data["backends"])] == [entry["name"] for entry in data["backends"]]
    rows = list(table.one("tbody").all("tr"))
    assert len(rows) == len(data["nics"])
    for row, entry in zip(rows, data["nics"], strict=True):
        cells = row.children("td")
        assert row.one("th").text == entry["name"]
        assert cells[len(data["backends"])].text == entry["kconfig"]
        assert cells[-1].text == ", ".join(entry["types"])
        for cell, other in zip(cells, data["backends"], strict=False):
            assert cell.one("a").values["href"] == pair_page(entry["name"], other["name"])
            try:
                walk(installed, entry["name"], other["name"], direction=Direction.TX)
                assert set(cell.classes) <= {"walk", "vhost"}
            except NoPath:
                assert set(cell.classes) <= {"none", "handed"}


def test_the_grid_marks_what_the_installed_program_has(installed: Index, pages: Path) -> None:
    """By -device help and -netdev help, which list what a user can plug, and by the functions that the
    program exports."""
    program, page = find_qemu(), read_page(pages / "index.html")
    listed = subprocess.run([program, "-device", "help"], capture_output=True, text=True, check=True).stdout
    plugged = set(re.findall(r'^name "([^"]+)"', listed, re.MULTILINE))
    said = subprocess.run([program, "-netdev", "help"], capture_output=True, text=True, check=True).stdout
    inits = {name: init for name, init in init_functions(installed).items() if name not in ("nic", "none")}
    left_out = inits.keys() - set(said.partition("types:")[2].split())
    assert backends_left_out(program, inits) == left_out
    data, table = map_tree(installed), page.one("table", "grid")
    columns = {
        e.text: e.values["data-built"] for e in table.one("thead").all("th") if "data-built" in e.values
    }
    for entry in data["backends"]:
        there = entry["name"] in inits and entry["name"] not in left_out
        assert columns[entry["name"]] == str(int(there)), entry["name"]
    rows = {row.one("th").text: row.values["data-built"] for row in table.one("tbody").all("tr")}
    for entry in data["nics"]:
        if not plugged.isdisjoint(entry["types"]):
            assert rows[entry["name"]] == "1", entry["name"]
    # Of other machines, and without a type.
    assert rows["lan9118"] == rows["sunhme"] == rows["xen_nic"] == "0"
    said = page.one("p", "sub").text
    assert str(program) in said and f"{[*rows.values()].count('1')} / {len(rows)} NICs" in said
    assert "xen_nic" in said


def test_back_ends_nics_and_callbacks_have_the_map_s_tables(installed: Index, pages: Path) -> None:
    data = map_tree(installed)
    implemented: dict[str, set[tuple[str, str]]] = {}
    for kind, page_of in (("backends", backend_page), ("nics", nic_page)):
        for entry in data[kind]:
            section = read_page(pages / page_of(entry["name"])).one("section", ident="tables")
            shown = [tuple(cell.text for cell in row.children("td")) for row in section.all("tr")]
            told = [
                (f"NetClientInfo.{name}", place["function"], f"{place['file']}:{place['line']}")
                for table in entry["tables"]
                for name, place in table["callbacks"].items()
            ]
            assert [row for row in shown if row] == told
            for table in entry["tables"]:
                for name, place in table["callbacks"].items():
                    implemented.setdefault(name, set()).add((entry["name"], place["function"]))
    for name, known in implemented.items():
        page = read_page(pages / callback_page(name))
        bodies = [page.one(ident=ident).all("tbody") for ident in ("backends", "nics")]
        rows = [row for found in bodies for body in found for row in body.all("tr")]
        assert {(row.one("th").text, row.one("code").text) for row in rows} == known


def test_the_header_tells_why_a_back_end_has_no_offloads(installed: Index, pages: Path) -> None:
    page = read_page(pages / callback_page("has_vnet_hdr"))
    having = {row.one("th").text for row in page.one(ident="backends").one("tbody").all("tr")}
    without = page.one(ident="backends-without").text
    assert "tap" in having and "user" in without and "socket" in without
    said = T.words["offloads_no"].split(":")[0].replace("`", "")
    assert said in read_page(pages / backend_page("user")).text


def test_a_cost_is_of_its_own_release(installed: Index, pages: Path) -> None:
    """What explain/cost.toml has, where it was measured in this QEMU; else nothing."""
    known = cost("virtio-net-pci", "tap", False)
    assert known
    page = read_page(pages / pair_page("virtio-net", "tap"))
    shown = [
        cell.text for section in page.all("section", ident="cost") for cell in section.one("tbody").all("td")
    ]
    if known["conditions"]["QEMU"].split()[0] == installed.meta["qemu"]:
        assert {row["throughput"] for row in known["throughput"]} <= set(shown)
    else:
        assert not shown


def test_every_link_and_fragment_leads_somewhere(atlas: Built) -> None:
    dead, inside, hosts = checked_links(atlas.folder)
    assert not dead
    assert inside > 10_000 and hosts <= HOSTS


def test_what_the_search_finds_is_there(atlas: Built) -> None:
    text = (atlas.folder / "assets" / "search.js").read_text()
    data = json.loads(text.removeprefix("window.atlasSearch=").rstrip(";\n"))
    ids: dict[Path, set[str]] = {}
    for name, _, _, place, where in data["entries"]:
        page, _, part = place.partition("#")
        target = atlas.folder / (page if where < 0 else f"{atlas.releases[0]}/{page}")
        if target not in ids:
            ids[target] = {e.values["id"] for e in read_page(target).all() if "id" in e.values}
        assert not part or part in ids[target], (name, place)
    names = {entry[0] for entry in data["entries"]}
    assert {"tap_receive_iov", "NetClientInfo.has_vnet_hdr", "e1000", "net/queue.c", "user hostfwd="} <= names


def test_pages_are_small(atlas: Built) -> None:
    assert atlas.largest_size < LARGEST_PAGE and atlas.size < LARGEST_RELEASE
    sizes = [path.stat().st_size for path in atlas.folder.rglob("*.html")]
    assert max(sizes) == atlas.largest_size and len(sizes) == atlas.pages


def test_an_address_is_the_same_in_every_build_and_no_two_names_share_one() -> None:
    assert fragment("tap_receive_iov") == "tap_receive_iov"
    assert pair_page("virtio-net", "tap") == "pairs/virtio-net/tap.html"
    names = ["a/b", "a-b", "a b", "..", ".", "", "\u202eb", "a" * 300, "a" * 301, "<b>", "CON?"]
    made = [fragment(name) for name in names]
    assert len(set(made)) == len(names) and all("/" not in name and len(name) < 140 for name in made)
    assert not {".", ".."} & set(made)


def test_every_language_has_every_word() -> None:
    english = load_wording("en")
    for name in wording_names():
        other = load_wording(name)
        assert other.words.keys() == english.words.keys()
        assert other.callback_words.keys() == english.callback_words.keys()
        assert [item["page"] for item in other.questions] == [item["page"] for item in english.questions]


def test_the_tour_asks_the_ten_questions() -> None:
    tour = (Path(__file__).parents[2] / "docs" / "tour.md").read_text()
    questions = load_wording("en").questions
    assert len(questions) == 10
    assert re.findall(r"^\d+\. (.*)$", tour, re.MULTILINE) == [item["ask"] for item in questions]


def test_colours_go_by_the_page_s_switch() -> None:
    query = "@media (prefers-color-scheme: dark) {\n  .a { --ink: #fff; }\n}\n"
    made = switchable(".a { --ink: #000; --b: 1; }\n" + query + ".c { d: e; }")
    assert "light-dark(#000, #fff)" in made and "prefers-color-scheme" not in made and "--b: 1;" in made


def test_a_folder_with_something_else_is_left_alone(installed: Index, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(StoreError, match="no atlas"):
        build_atlas([installed.path], tmp_path)
    assert (tmp_path / "mine").read_text() == "kept" and not (tmp_path / MARK).exists()
