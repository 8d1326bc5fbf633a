"""The catalogue of the real tree against what its source says, and against QEMU's own help."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from qtrace.index.build import ensure_index
from qtrace.index.prepare import COMMON, prepare
from qtrace.index.tree import open_tree
from qtrace.path.catalogue import map_tree
from qtrace.progress import SILENT
from qtrace.store.index import Index


@pytest.fixture(scope="module")
def tree(index: Index) -> dict[str, Any]:
    return map_tree(index)


def table(tree: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    entry = next(entry for entry in tree["backends"] if entry["name"] == name)
    return {item["variable"]: item for item in entry["tables"]}


@pytest.mark.parametrize(
    ("name", "init", "file", "state", "receive"),
    [
        ("user", "net_init_slirp", "net/slirp.c", "SlirpState", {"net_slirp_receive"}),
        ("tap", "net_init_tap", "net/tap.c", "TAPState", {"tap_receive", "tap_receive_iov"}),
        (
            *("socket", "net_init_socket", "net/socket.c", "NetSocketState"),
            {"net_socket_receive", "net_socket_receive_dgram"},
        ),
        ("stream", "net_init_stream", "net/stream.c", "NetStreamState", {"net_stream_receive"}),
        ("dgram", "net_init_dgram", "net/dgram.c", "NetDgramState", {"net_dgram_receive"}),
        ("vde", "net_init_vde", "net/vde.c", "VDEState", {"vde_receive"}),
    ],
)
def test_back_ends(
    tree: dict[str, Any], name: str, init: str, file: str, state: str, receive: set[str]
) -> None:
    entry = next(entry for entry in tree["backends"] if entry["name"] == name)
    assert entry["driver"] == f"NET_CLIENT_DRIVER_{name.upper()}"
    assert (entry["init"]["function"], entry["init"]["file"]) == (init, file)
    tables = entry["tables"]
    assert {item["file"] for item in tables} == {file}
    assert {item["size_of"] for item in tables} == {state}
    found = {
        item["callbacks"][field]["function"]
        for item in tables
        for field in ("receive", "receive_iov")
        if field in item["callbacks"]
    }
    assert found == receive


@pytest.mark.parametrize(
    ("name", "types", "receive"),
    [
        ("e1000", {"e1000", "e1000-82544gc", "e1000-82545em"}, "e1000_receive"),
        ("rtl8139", {"rtl8139"}, "rtl8139_receive"),
        ("virtio-net", {"virtio-net-device", "virtio-net-pci"}, "virtio_net_receive"),
    ],
)
def test_nics(tree: dict[str, Any], name: str, types: set[str], receive: str) -> None:
    entry = next(entry for entry in tree["nics"] if entry["name"] == name)
    assert types <= set(entry["types"])
    assert [item["callbacks"]["receive"]["function"] for item in entry["tables"]] == [receive]


def test_what_this_platform_leaves_out_is_listed_with_its_guard(tree: dict[str, Any]) -> None:
    guards = {entry["name"]: entry["guard"] for entry in tree["backends"]}
    assert guards["vmnet-host"] == "defined(CONFIG_VMNET)"
    assert guards["netmap"] == "defined(CONFIG_NETMAP)"
    assert guards["tap"] is None


@pytest.mark.needs("qemu-system-x86_64")
def test_every_nic_that_the_installed_qemu_offers_is_there(tree: dict[str, Any]) -> None:
    said = subprocess.run(
        ["qemu-system-x86_64", "-device", "help"], capture_output=True, text=True, check=True
    ).stdout
    section = said.partition("Network devices:\n")[2].partition("\n\n")[0]
    offered = {line.split('"')[1] for line in section.splitlines()}
    assert len(offered) > 20
    # pvrdma (until 9.0) is filed under network devices but carries no frames: it has no NetClientInfo.
    assert offered - {name for nic in tree["nics"] for name in nic["types"]} == offered & {"pvrdma"}


@pytest.mark.needs("qemu-system-x86_64")
def test_every_netdev_that_the_installed_qemu_offers_is_there(tree: dict[str, Any]) -> None:
    said = subprocess.run(
        ["qemu-system-x86_64", "-netdev", "help"], capture_output=True, text=True, check=True
    ).stdout
    offered = {line.strip() for line in said.splitlines() if line.strip() and ":" not in line}
    assert len(offered) > 5
    assert offered <= {entry["name"] for entry in tree["backends"]}


def test_a_nic_says_what_it_is_built_with(tree: dict[str, Any]) -> None:
    needs = {nic["name"]: nic["kconfig"] for nic in tree["nics"]}
    assert needs["e1000"] == "CONFIG_E1000_PCI" and needs["dev-network"] == "CONFIG_USB_NETWORK"
    assert all(needs.values()), [name for name, what in needs.items() if not what]
    assert all(nic["built"] for nic in tree["nics"])  # this index is of no build


def test_what_a_build_leaves_out_is_listed_and_said(index: Index, side_cache: Path, tmp_path: Path) -> None:
    root = Path(index.meta["root"])
    flags = prepare(open_tree(root), None, SILENT).flags[COMMON]
    entry = {"directory": str(root), "file": "hw/net/e1000.c", "arguments": ["cc", *flags, "hw/net/e1000.c"]}
    (tmp_path / "compile_commands.json").write_text(json.dumps([entry]))
    built, _ = ensure_index(source=root, build=tmp_path)
    found = {nic["name"]: nic["built"] for nic in map_tree(built)["nics"]}
    assert found["e1000"] and not found["rtl8139"] and len(found) == len(map_tree(index)["nics"])
