"""Several releases, a run, the other language, the user's own lines, and the server on loopback."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import autocorrect_py as autocorrect
import pytest
from page_tree import checked_links, read_page

from qtrace.atlas.builder import Built, build_atlas, stamp_of
from qtrace.atlas.permalinks import mode_page, pair_page, source_page
from qtrace.atlas.source_places import SourceFile, lines_and_starts
from qtrace.atlas.wording import load_wording
from qtrace.lab.mode.mode import load_modes
from qtrace.model import Direction
from qtrace.path.walk import walk
from qtrace.report.measured import measured
from qtrace.report.speech import speaking
from qtrace.store.index import Index
from qtrace.store.run import RunReader
from qtrace.wordbook import language_names, load_wordbook, places

pytestmark = pytest.mark.slow
LARGEST_PAGE = 300_000  # bytes
# Of Debian 12's QEMU.
RUN = Path(__file__).parents[1] / "store" / "runs" / "format-1" / "measured"
LATER = "99.0.1"
HAN = re.compile("[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def two(earlier: Index, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A release and one that was made of it: a callback went, a function moved, a NIC came and one went.

    With a run of the first, and the lines of both.
    """
    folder = tmp_path_factory.mktemp("two")
    copy = folder / "later.sqlite"
    shutil.copy(earlier.path, copy)
    with sqlite3.connect(copy) as db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'qemu'", (LATER,))
        db.execute("UPDATE functions SET file = 'net/queue.c' WHERE name = 'qemu_flush_queued_packets'")
        db.execute("DELETE FROM tables WHERE variable = 'net_tap_info' AND field = 'poll'")
        db.execute("DELETE FROM backends WHERE driver LIKE '%VDE%'")
    db.close()
    indexes, runs = [copy, earlier.path], [RunReader.open(RUN)]
    return build_atlas(indexes, folder / "atlas", "zh", runs, with_source=True)


def test_releases_stand_side_by_side(earlier: Index, two: Built) -> None:
    assert two.releases == (earlier.meta["qemu"], LATER)
    first, second = two.releases
    page = read_page(two.folder / first / pair_page("e1000", "tap"))
    line = page.one("p", "releases")
    assert line.one("strong").text == first and line.one("a").text == second
    gone = read_page(two.folder / first / "backends" / "vde.html").one("p", "releases")
    assert gone.one("s").text == second
    assert not (two.folder / second / "backends" / "vde.html").exists()


def test_every_link_between_releases_leads_somewhere(two: Built) -> None:
    dead, inside, _ = checked_links(two.folder)
    assert not dead and inside > 50_000


def test_what_came_went_and_moved(two: Built) -> None:
    first, second = two.releases
    page = read_page(two.folder / f"changes/{first}..{second}.html")
    assert page.one(ident="backends").one("p").one("a").text == "vde"
    rows = [tuple(cell.text for cell in row.children("td")) for row in page.one(ident="backends").all("tr")]
    assert ("NetClientInfo.poll", "tap_poll (net/tap.c)", load_wording("zh").none) in rows
    moved = {row.one("th").text: row.text for row in page.one(ident="moved").one("tbody").all("tr")}
    assert moved["qemu_flush_queued_packets"].endswith("net/net.cnet/queue.c")


def test_a_run_is_on_the_pages_of_its_pairs(earlier: Index, two: Built) -> None:
    path = walk(earlier, "virtio-net-pci", "tap", direction=Direction.TX)
    with speaking("zh"):
        figures = measured(RunReader.open(RUN), path)
        said = [figures.at(step) for step in path.steps]
        around = figures.head() + figures.tail()
    section = read_page(two.folder / two.releases[0] / pair_page("virtio-net", "tap")).one(ident="walk-tx")
    steps = section.one("ol", "steps").children("li")
    assert len(steps) == len(path.steps)
    for item, lines in zip(steps, said, strict=True):
        assert [e.text for e in item.children("div") if "measured" in e.classes] == lines
    assert [e.text for e in section.children("p") if "measured" in e.classes] == around
    assert any("每帧" in line for line in around)
    other = read_page(two.folder / two.releases[1] / pair_page("virtio-net", "tap"))
    # Neither the run's numbers nor the committed report's are another release's.
    assert not list(other.all(kind="measured")) and not list(other.all(ident="cost"))


def test_without_a_program_the_grid_says_that_no_build_is_known(two: Built) -> None:
    for release in two.releases:
        page = read_page(two.folder / release / "index.html")
        assert load_wording("zh").build_unknown in page.one("p", "sub").text
        assert not [e for e in page.all("input") if e.values.get("data-filter") == "built"]


def test_the_other_language_is_whole(two: Built) -> None:
    english = {word for word in load_wording("en").words.values() if len(word) > 24}
    for place in ("index.html", f"{two.releases[0]}/index.html", f"{two.releases[0]}/backends/tap.html"):
        page = read_page(two.folder / place)
        assert page.one("html").values["lang"] == "zh-CN"
        assert not [word for word in english if word in page.text], place


def test_what_a_walk_says_is_in_the_page_s_language(two: Built) -> None:
    """Evidence, notes, ends of walks, and why there is none; names and a compiler's messages stay."""
    folder = two.folder / two.releases[0]
    said = 0
    for nic in ("virtio-net", "e1000", "igb", "pcnet-pci"):
        for file in sorted((folder / "pairs" / nic).glob("*.html")):
            page = read_page(file)
            parts = [e for kind in ("why", "note", "reason", "end") for e in page.all(kind=kind)]
            for part in (*parts, *page.all("h4")):
                assert HAN.search(part.text), (file.name, part.text)
                said += 1
    assert said > 500
    assert not [e.text for e in read_page(folder / "index.html").all("dt") if not HAN.search(e.text)]
    assert not [
        e.text
        for e in read_page(folder / "backends/tap.html").one(ident="rights").all("li")
        if not HAN.search(e.text) and e.text != "CAP_NET_ADMIN"
    ]


@pytest.mark.parametrize("room", ["qtrace.path", "qtrace.explain", "qtrace.lab"])
def test_a_sentence_has_the_same_places_in_each_language(room: str) -> None:
    for language in language_names(room):
        for english, own in load_wordbook(language, room).stored.items():
            assert places(english) == places(own) and autocorrect.format(own) == own, english


def test_every_mode_speaks_the_page_s_language(two: Built) -> None:
    for mode in load_modes():
        page = read_page(two.folder / mode_page(mode.name))
        assert page.one("h1").text != mode.title and HAN.search(page.one("h1").text), mode.name
        said = [e.text for e in page.one("main").children("p")]
        assert said and all(HAN.search(text) for text in said), mode.name


def test_each_place_opens_the_line_of_the_user_s_own_tree(earlier: Index, two: Built) -> None:
    row = earlier.function("tap_receive_iov")[0]
    page = read_page(two.folder / two.releases[0] / source_page(row.file))
    text = page.one("pre", "source").text.split("\n")[row.line - 1]
    own = (Path(earlier.meta["root"]) / row.file).read_text().split("\n")[row.line - 1]
    assert text.endswith(f" {own}") and "tap_receive_iov" in own
    pair = read_page(two.folder / two.releases[0] / pair_page("e1000", "tap"))
    links = [e.values["href"] for e in pair.all("a", "at")]
    assert f"../../{source_page(row.file)}#L{row.line}" in links


def test_a_source_of_any_length_has_pages_that_a_browser_takes(earlier: Index, two: Built) -> None:
    folder = two.folder / two.releases[0]
    root = Path(earlier.meta["root"])
    assert max(path.stat().st_size for path in folder.rglob("*.html")) < LARGEST_PAGE
    for file in ("hw/virtio/virtio.c", "hw/net/virtio-net.c"):
        parts = [folder / source_page(file), *sorted((folder / "source").glob(f"{file}.part*.html"))]
        shown = [read_page(part).one("pre", "source") for part in parts]
        lines = [line for part in shown for line in part.text.split("\n")[:-1]]
        assert [line[:5].strip() for line in lines] == [str(number + 1) for number in range(len(lines))]
        own = (root / file).read_text().expandtabs(8).split("\n")
        assert [line[6:] for line in lines] == own


def test_a_long_source_goes_on_on_another_page(earlier: Index, tmp_path: Path) -> None:
    """A place is on the page that has its line."""
    long = tmp_path / "long.c"
    long.write_text("/* & */ x = 1;\n" * 20_000)
    source = SourceFile(str(long), *lines_and_starts(long.read_bytes()), changed=False)
    assert source.lines == 20_001 and len(source.starts) > 2
    assert source_page("long.c", source.part_of(1)) == "source/long.c.html"
    for number, start in enumerate(source.starts, 1):
        assert source.part_of(start) == number and source.part_of(max(1, start - 1)) == max(1, number - 1)
    assert source.part_of(source.lines) == len(source.starts)


def test_without_asking_no_line_of_source_is_written(atlas: Built) -> None:
    assert not list(atlas.folder.glob("*/source"))
    assert not [path for path in atlas.folder.rglob("*.html") if b"#include" in path.read_bytes()]


def test_every_mode_has_a_page_with_its_picture(atlas: Built) -> None:
    for mode in load_modes():
        page = read_page(atlas.folder / mode_page(mode.name))
        assert page.one("pre", "picture").text == mode.picture
        assert all(line in page.text for seat in mode.seats for line in seat.netdev)


def test_a_stamp_is_of_the_indexes(installed: Index, tmp_path: Path) -> None:
    copy = tmp_path / installed.path.name
    shutil.copy2(installed.path, copy)
    before = stamp_of([copy])
    assert before == stamp_of([copy])
    os.utime(copy, ns=(1, 1))
    assert before != stamp_of([copy])


def asked(port: int, host: str, path: str = "/atlas.json") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_server_is_of_this_machine_alone_and_shows_a_new_index(installed: Index, tmp_path: Path) -> None:
    copy = tmp_path / "of.sqlite"
    shutil.copy(installed.path, copy)
    argv = [sys.executable, "-m", "qtrace", "atlas", "--serve", "--port", "0", "--index", str(copy)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as served:
        try:
            assert served.stdout
            port = int(re.findall(r":(\d+)/", served.stdout.readline())[0])
            status, body = asked(port, f"127.0.0.1:{port}")
            assert status == 200
            assert asked(port, "a.name.example:80")[0] == 403
            assert asked(port, f"localhost:{port}", "/../of.sqlite")[0] == 404
            with Path("/proc/net/tcp").open() as table:
                bound = [line.split()[1] for line in table if f":{port:04X} " in line]
            assert bound and all(place.startswith("0100007F:") for place in bound)
            os.utime(copy, ns=(1, 1))
            assert served.stdout.readline()  # it says the address again
            newer = json.loads(asked(port, f"127.0.0.1:{port}")[1])
            assert newer["built"] != json.loads(body)["built"]
        finally:
            served.send_signal(signal.SIGINT)
        assert served.wait(120) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["of.sqlite"]  # nothing is left behind


def test_ctrl_c_leaves_no_process_no_file_and_one_line(installed: Index, tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "qtrace",
        "atlas",
        "-o",
        str(tmp_path / "atlas"),
        "--index",
        str(installed.path),
    ]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True) as build:
        assert build.stderr
        assert "reading" in build.stderr.readline()  # its processes are there
        os.killpg(build.pid, signal.SIGINT)  # as a terminal does
        said = build.stderr.read()
        assert build.wait(120) == 130
    assert "Traceback" not in said and said.strip().endswith("qtrace: interrupted")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        os.killpg(build.pid, 0)
