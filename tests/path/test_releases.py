"""Nothing is keyed to a release: the QEMU of the next Debian, unpacked and not built, is read as well."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from program import Program

from qtrace.errors import NoPath
from qtrace.index.platforms import other_platform
from qtrace.model import Direction
from qtrace.path.catalogue import map_tree
from qtrace.path.difference import difference
from qtrace.path.walk import walk
from qtrace.store.index import Index


def test_it_is_another_release(earlier: Index, newer: Index) -> None:
    assert newer.meta["qemu"] != earlier.meta["qemu"]


def test_every_nic_has_a_path_on_tap(newer: Index) -> None:
    nics = [nic["name"] for nic in map_tree(newer)["nics"]]
    assert len(nics) >= 39 and {"igb", "npcm_gmac", "dev-network"} <= set(nics)
    for nic in nics:
        for way in Direction:
            path = walk(newer, nic, "tap", direction=way)
            assert path.boundary.name in ("writev", "write", "readv", "read"), (nic, way)


@pytest.mark.parametrize("nic", ["e1000", "virtio-net-pci", "usb-net"])
def test_every_netdev_has_a_path_or_a_reason(newer: Index, nic: str) -> None:
    entries = map_tree(newer)["backends"]
    assert {"user", "tap", "stream", "dgram", "af-xdp", "vde", "l2tpv3"} <= {e["name"] for e in entries}
    for entry in entries:
        try:
            path = walk(newer, nic, entry["name"], direction=Direction.TX)
        except NoPath as exc:
            assert len(str(exc)) > 20
        else:
            assert path.boundary.kind in ("syscall", "library")


def test_only_what_needs_another_system_or_library_has_errors(newer: Index) -> None:
    for file, errors in newer.errors_in(newer.indexed_files()):
        assert other_platform(file) or re.search(r"'[\w./-]+\.h' file not found", errors), (file, errors)


def test_the_map_has_what_a_second_qemu_offers(newer: Index, newer_program: Program) -> None:
    program = newer_program.said
    assert program("--version").split()[3].split(".")[:2] == newer.meta["qemu"].split(".")[:2]
    known = map_tree(newer)
    section = program("-device", "help").partition("Network devices:\n")[2].partition("\n\n")[0]
    nics = {line.split('"')[1] for line in section.splitlines()}
    assert "igb" in nics and nics <= {name for nic in known["nics"] for name in nic["types"]}
    text = program("-netdev", "help")
    netdevs = {line.strip() for line in text.splitlines() if line.strip() and ":" not in line}
    assert {"tap", "user"} <= netdevs <= {entry["name"] for entry in known["backends"]}


def test_what_changed_between_the_two(earlier: Index, newer: Index) -> None:
    changed = difference(map_tree(earlier), map_tree(newer))
    assert "af-xdp" in changed["backends"]["added"] and "igb" in changed["nics"]["added"]
    assert not changed["backends"]["removed"]


def test_what_is_renamed_is_found_by_what_it_is_not_by_its_place(newer: Index) -> None:
    """The main loop moved to system/, receive_raw went: paths are asked for by field and function."""
    steps = [step.function for step in walk(newer, "virtio-net-pci", "tap", direction=Direction.RX).steps]
    assert "tap_send" in steps and "virtio_net_receive" in steps
    root = Path(newer.meta["root"])
    for step in walk(newer, "igb", "tap", direction=Direction.TX).steps:
        if step.line:
            line = (root / step.file).read_text(errors="replace").splitlines()[step.line - 1]
            assert step.function in line
