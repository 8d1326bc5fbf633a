"""Walks that go on into a library: the real libslirp, and a libvdeplug of the same build as the real one."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite, SourceError
from qtrace.index.build import ensure_index
from qtrace.index.libraries import Library, fetch_libraries, open_library
from qtrace.measure.placement import Placement
from qtrace.model import Direction, Role
from qtrace.model import Path as Walked
from qtrace.path import stage_functions as stages
from qtrace.path.catalogue import map_tree
from qtrace.path.library_side import Beyond
from qtrace.path.show import about
from qtrace.path.walk import walk
from qtrace.progress import SILENT
from qtrace.report.formats.walk_html import write
from qtrace.report.walked import Walked as Shown
from qtrace.store.index import Index, find_index, mark_current

NICS = ("e1000", "rtl8139", "virtio-net-pci")
SOCKET_CALLS = {name for kinds in (*stages.INSIDE_WRITE, *stages.INSIDE_READ) for name in kinds}


@pytest.fixture(scope="module")
def fetched(skip_or_fail: Callable[[str], NoReturn]) -> tuple[list[Library], list[str]]:
    """The installed libraries' sources, and why others are not there; Debian 12's libslirp where its own
    release's mirror lacks it."""
    try:
        return fetch_libraries(SILENT)
    except MissingPrerequisite as exc:
        try:
            tree = distribution().fetch_newest_source("libslirp", "bookworm")
        except MissingPrerequisite as none:
            skip_or_fail(f"no libslirp: {exc}; {none}")
        return [open_library(tree)], [str(exc)]


@pytest.fixture(scope="module")
def wide(index: Index, fetched: tuple[list[Library], list[str]]) -> Index:
    """QEMU's index with the libraries whose sources can be had; the plain one stays the current one."""
    libraries, missing = fetched
    assert "libslirp" in {library.name for library in libraries}, missing
    made, _ = ensure_index(libraries=libraries)
    mark_current(index.path)
    return made


# A library of libvdeplug's build: what QEMU calls goes through a table that a plug-in brings.
PLUG = {
    "include/libvdeplug.h": "typedef struct vdeconn VDECONN;",
    "plug/module.h": """
        #include <sys/types.h>
        #include <libvdeplug.h>
        struct module {
            ssize_t (*take)(VDECONN *, void *, size_t, int);
            ssize_t (*give)(VDECONN *, const void *, size_t, int);
            int (*never_set)(void);
        };
        struct vdeconn { struct module *module; int fd; };
    """,
    "plug/libvdeplug.c": """
        #include "config.h"
        #include "module.h"
        ssize_t vde_recv(VDECONN *c, void *b, size_t n, int f) { return c->module->take(c, b, n, f); }
        ssize_t vde_send(VDECONN *c, const void *b, size_t n, int f) { return c->module->give(c, b, n, f); }
        int vde_stray(VDECONN *c) { return c->module->never_set(); }
    """,
    **{
        f"plug/libvdeplug_{name}.c": f"""
            #include <sys/socket.h>
            #include "module.h"
            static ssize_t {name}_take(VDECONN *c, void *b, size_t n, int f)
            {{ return recv(c->fd, b, n, 0); }}
            static ssize_t {name}_give(VDECONN *c, const void *b, size_t n, int f)
            {{ return send(c->fd, b, n, 0); }}
            struct module ops = {{ .take = {name}_take, .give = {name}_give }};
        """
        for name in ("another", "vde", "zero")
    },
}


@pytest.fixture(scope="module")
def plugged(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    root = tmp_path_factory.mktemp("vdeplug")
    for name, text in PLUG.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    made, _ = ensure_index(libraries=[open_library(root)])
    mark_current(index.path)
    yield made
    made.close()
    made.path.unlink()


def joined(index: Index, path: Walked) -> None:
    """Every step is called by the one before it, or by one before that where a side step ends."""
    known = {name: index.function(name) for name in {step.function for step in path.steps}}
    for number, step in enumerate(path.steps[1:], 1):
        callers = [row.id for before in path.steps[:number] for row in known[before.function]]
        edges = [edge for row in known[step.function] for edge in index.callers(row.id)]
        assert step.call is not None
        assert any(
            edge.caller in callers and (edge.file, edge.line) == (step.call.file, step.call.line)
            for edge in edges
        ), step


def names(path: Walked) -> list[str]:
    return [step.function for step in path.steps]


def test_every_file_of_the_library_is_understood(wide: Index) -> None:
    files = wide.files_of("libslirp")
    assert {"libslirp/src/slirp.c", "libslirp/src/socket.c"} <= set(files)
    assert wide.errors_in(files) == []


@pytest.mark.parametrize("nic", NICS)
def test_tx_ends_at_the_socket(index: Index, wide: Index, nic: str) -> None:
    path = walk(wide, nic, "user", direction=Direction.TX)
    plain = walk(index, nic, "user", direction=Direction.TX)
    assert (path.boundary.kind, path.boundary.name) == ("syscall", "send")
    assert "sendto" in path.boundary.note and "sosendto" in path.boundary.note
    found = names(path)
    start = found.index("slirp_input")
    assert found[start : found.index("send") + 1] == [
        *("slirp_input", "ip_input", "tcp_input", "sbappend", "slirp_send", "send")
    ]
    assert path.steps[start].file == "libslirp/src/slirp.c"
    joined(wide, path)
    # Without the library's part it is the path that there was, and so are the stages that are measured.
    assert [name for name in found if name not in found[start + 1 : found.index("send") + 1]] == names(plain)
    assert [(step.stage, step.function) for step in path.stages] == [
        (step.stage, step.function) for step in plain.stages
    ]


@pytest.mark.parametrize("nic", NICS)
def test_rx_begins_at_the_socket(index: Index, wide: Index, nic: str) -> None:
    path = walk(wide, nic, "user", direction=Direction.RX)
    plain = walk(index, nic, "user", direction=Direction.RX)
    assert (path.boundary.kind, path.boundary.name) == ("syscall", "recv")
    found = names(path)
    assert found[: found.index("net_slirp_send_packet") + 1] == [
        *("net_slirp_poll_notify", "slirp_pollfds_poll", "soread", "recv"),
        *("tcp_output", "ip_output", "if_output", "if_start", "if_encap", "slirp_send_packet_all"),
        "net_slirp_send_packet",
    ]
    step = next(step for step in path.steps if step.stage is Role.HOST)
    assert step.call is not None
    assert "SlirpCb.send_packet is set" in [item.why for item in step.call.evidence]
    assert {item.file for item in step.call.evidence} == {"net/slirp.c", "libslirp/src/slirp.c"}
    joined(wide, path)
    assert [(step.stage, step.function) for step in path.stages] == [
        (step.stage, step.function) for step in plain.stages
    ]


@pytest.mark.parametrize("way", list(Direction))
def test_without_the_library_the_end_says_how_to_go_on(index: Index, way: Direction) -> None:
    for netdev, library in (("user", "libslirp"), ("vde", "libvdeplug")):
        boundary = walk(index, "e1000", netdev, direction=way).boundary
        assert boundary.kind == "library"
        assert boundary.note == f"'qtrace index --libraries' walks on into {library}"


@pytest.mark.parametrize("way", list(Direction))
def test_other_walks_and_the_catalogue_stay_as_they_are(index: Index, wide: Index, way: Direction) -> None:
    for netdev in ("tap", "socket"):
        assert walk(wide, "e1000", netdev, direction=way) == walk(index, "e1000", netdev, direction=way)
    assert map_tree(wide) == map_tree(index)


def test_what_has_the_same_name_is_told_apart(wide: Index) -> None:
    """QEMU and libslirp both have a VMStateDescription, whose callbacks are each one's own."""
    for row in wide.functions().values():
        if wide.library_of(row.file) == "libslirp":
            for edge in wide.callees(row.id):
                target = wide.function_by_id(edge.callee)
                assert wide.library_of(target.file) or target.file in ("", "net/slirp.c"), (row, target)


def test_show_has_both_sides(wide: Index) -> None:
    (entry,) = about(wide, "slirp_input")
    assert {call["function"] for call in entry["callers"]} == {"net_slirp_receive"}
    assert "ip_input" in {call["function"] for call in entry["callees"]}


def test_the_page_reads_the_library_s_own_tree(wide: Index) -> None:
    path = walk(wide, "e1000", "user", direction=Direction.TX)
    shown = html.unescape(re.sub(r"<[^>]+>", "", write(Shown("", "", path.steps, {}, wide))))
    seen = 0
    for step in path.steps:
        if wide.library_of(step.file):
            root, name = wide.place(step.file)
            line = (root / name).read_text(errors="replace").splitlines()[step.line - 1]
            assert step.function in line and line.expandtabs(8) in shown
            seen += 1
    assert seen > 3


@pytest.mark.needs("qemu-system-x86_64")
@pytest.mark.parametrize("netdev", ["user", "vde"])
def test_the_tracer_measures_the_same_places(index: Index, wide: Index, netdev: str) -> None:
    libraries = [next(Path("/usr/lib").glob(f"*/{name}.so.*")) for name in ("libslirp", "libvdeplug")]
    program = Path(shutil.which("qemu-system-x86_64") or "")
    files = [file.resolve() for file in (program, *libraries)]
    for nic in NICS:
        for way in Direction:
            found = [
                Placement(each, files).probes([walk(each, nic, netdev, direction=way)])
                for each in (index, wide)
            ]
            assert found[0] == found[1]
            assert Role.HOST in {probe.stage for probe in found[1][0]}


def test_the_two_indexes_are_kept_apart(index: Index, wide: Index) -> None:
    again, made = ensure_index()
    assert (again.path, made) == (index.path, False)
    assert index.libraries == {} and index.path != wide.path
    assert find_index(index.meta["qemu"]).libraries == {}
    assert "libslirp" in find_index(f"{index.meta['qemu']}+libraries").libraries
    assert {row.file for row in index.function("slirp_input")} == {""}


@pytest.mark.parametrize("way", list(Direction))
def test_a_plug_in_is_walked_into(plugged: Index, way: Direction) -> None:
    path = walk(plugged, "e1000", "vde", direction=way)
    calls = ["vde_send", "vde_give", "send"] if way is Direction.TX else ["vde_recv", "vde_take", "recv"]
    found = names(path)
    start = found.index(calls[0])
    assert found[start : start + 3] == calls
    assert path.steps[start].stage is Role.HOST
    assert (path.boundary.kind, path.boundary.name) == ("syscall", calls[-1])
    assert "libvdeplug_vde.c" in path.boundary.note
    joined(plugged, path)


def test_a_call_that_nothing_is_known_of_is_where_it_ends(plugged: Index) -> None:
    (entry,) = plugged.function("vde_stray")
    trail, boundary = Beyond(plugged, "vde", entry).to_system(stages.INSIDE_WRITE)
    assert (trail, boundary.kind, boundary.name) == ([], "library", "vde_stray")
    assert "module.never_set (libvdeplug/plug/libvdeplug.c:" in boundary.note


@pytest.mark.parametrize("way", list(Direction))
def test_the_real_libvdeplug(wide: Index, fetched: tuple[list[Library], list[str]], way: Direction) -> None:
    if "libvdeplug" not in wide.libraries:
        pytest.skip("; ".join(fetched[1]))
    path = walk(wide, "e1000", "vde", direction=way)
    assert path.boundary.kind == "syscall" and path.boundary.name in SOCKET_CALLS
    joined(wide, path)


def test_a_folder_that_is_no_library(tmp_path: Path, index: Index) -> None:
    for folder in (tmp_path, Path(index.meta["root"])):
        with pytest.raises(SourceError, match="not the source of a library"):
            open_library(folder)
