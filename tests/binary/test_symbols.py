"""The functions of Debian's own stripped QEMU: found, and found by what should find them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from qtrace.binary.known import KnownSymbols
from qtrace.cli.symbols import command
from qtrace.model import Symbol
from qtrace.store.index import Index

pytestmark = pytest.mark.needs("qemu-system-x86_64")
QEMU = Path("/usr/bin/qemu-system-x86_64")


@pytest.fixture(scope="module")
def found(index: Index) -> dict[tuple[str, str], Symbol]:
    known = KnownSymbols(QEMU, index)
    everything = known.everything()
    known.save()
    return {(item.name, item.file): item for item in everything}


@pytest.mark.parametrize(
    ("name", "file", "how"),
    [
        ("tap_receive_iov", "net/tap.c", "table"),
        ("net_slirp_receive", "net/slirp.c", "table"),
        ("net_slirp_send_packet", "net/slirp.c", "table"),
        ("vde_receive", "net/vde.c", "table"),
        ("net_socket_receive_dgram", "net/socket.c", "table"),
        ("net_stream_receive", "net/stream.c", "table"),
        ("tap_send", "net/tap.c", "argument"),
        ("virtio_net_handle_tx_bh", "hw/net/virtio-net.c", "argument"),
        ("virtio_net_handle_rx", "hw/net/virtio-net.c", "call shape"),
        ("virtio_net_receive", "hw/net/virtio-net.c", "table"),
        ("e1000_receive_iov", "hw/net/e1000.c", "table"),
        ("e1000_mmio_write", "hw/net/e1000.c", "table"),
        ("set_tctl", "hw/net/e1000.c", "table"),
        ("e1000e_set_tdt", "hw/net/e1000e_core.c", "table"),
        ("rtl8139_receive", "hw/net/rtl8139.c", "table"),
        ("pcnet_ioport_write", "hw/net/pcnet-pci.c", "table"),
        ("tulip_write", "hw/net/tulip.c", "table"),
        ("vmxnet3_receive", "hw/net/vmxnet3.c", "call shape"),
        ("usbnet_receive", "hw/usb/dev-network.c", "table"),
        ("qemu_send_packet_async", "net/net.c", "dynsym"),
    ],
)
def test_callbacks_are_found(found: dict[tuple[str, str], Symbol], name: str, file: str, how: str) -> None:
    item = found[name, file]
    assert (item.how, bool(item.address)) == (how, True), item


def test_no_address_is_given_to_functions_of_two_files(found: dict[tuple[str, str], Symbol]) -> None:
    files: dict[int, set[str]] = {}
    for item in found.values():
        if item.address:
            files.setdefault(item.address, set()).add(item.file)
    assert not {place: names for place, names in files.items() if len(names) > 1}


def test_what_has_no_address_says_why(found: dict[tuple[str, str], Symbol]) -> None:
    nowhere = [item for item in found.values() if not item.address]
    assert nowhere
    assert {item.how for item in nowhere} <= {"ambiguous", "inlined", "not found"}
    assert {item.confidence for item in nowhere} == {"none"}


def test_a_second_time_it_comes_from_the_cache(index: Index, found: dict[tuple[str, str], Symbol]) -> None:
    began = time.monotonic()
    assert len(KnownSymbols(QEMU, index).everything()) == len(found)
    assert time.monotonic() - began < 2  # 0.1 s where nothing else runs


@pytest.fixture
def replaced(tmp_path: Path) -> Iterator[int]:
    """A QEMU that runs from a file that is there no more."""
    program = tmp_path / "qemu"
    shutil.copy(QEMU, program)
    argv = [program, "-M", "none", "-S", "-display", "none", "-nodefaults", "-monitor", "none"]
    modules = {"QEMU_MODULE_DIR": "/usr/lib/x86_64-linux-gnu/qemu"}
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=os.environ | modules)
    try:
        deadline = time.monotonic() + 20
        while Path(f"/proc/{process.pid}/exe").resolve() != program:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        program.unlink()
        program.write_bytes(b"no program any more")
        yield process.pid
    finally:
        process.kill()
        process.wait()


@pytest.mark.needs("root")
def test_a_process_whose_program_was_replaced(
    replaced: int, index: Index, found: dict[tuple[str, str], Symbol]
) -> None:
    said = CliRunner().invoke(
        command, [str(replaced), "--format", "json", "--index", str(index.path)], catch_exceptions=False
    )
    assert said.exit_code == 0, said.output
    answer = json.loads(said.stdout)
    places = {(item["name"], item["file"]): item["address"] for item in answer["functions"]}
    key = "tap_receive_iov", "net/tap.c"
    assert places[key] == found[key].address
    assert answer["build_id"] and answer["qemu"] == index.meta["qemu"]
