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

from qtrace.binary.symbols.symbol_cache import KnownSymbols
from qtrace.cli.symbols import command
from qtrace.lab.guest.guest import find_qemu
from qtrace.model import Symbol
from qtrace.store.index import Index

pytestmark = pytest.mark.needs("qemu-system-x86_64")


@pytest.fixture(scope="module", name="index")
def _index(earlier: Index) -> Index:
    return earlier


@pytest.fixture(scope="module")
def found(index: Index, earlier_file: Path) -> dict[tuple[str, str], Symbol]:
    known = KnownSymbols(earlier_file, index)
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
        ("virtio_net_handle_ctrl", "hw/net/virtio-net.c", "argument"),
        ("virtio_net_handle_tx_bh", "hw/net/virtio-net.c", "call shape"),
        ("virtio_net_handle_rx", "hw/net/virtio-net.c", "call shape"),
        ("virtio_net_receive", "hw/net/virtio-net.c", "table"),
        ("e1000_receive_iov", "hw/net/e1000.c", "table"),
        ("e1000_mmio_write", "hw/net/e1000.c", "table"),
        ("set_tctl", "hw/net/e1000.c", "table"),
        ("e1000e_set_tdt", "hw/net/e1000e_core.c", "table"),
        ("rtl8139_receive", "hw/net/rtl8139.c", "table"),
        ("pcnet_ioport_write", "hw/net/pcnet-pci.c", "table"),
        ("tulip_write", "hw/net/tulip.c", "table"),
        ("vmxnet3_receive", "hw/net/vmxnet3.c", "table"),
        ("usbnet_receive", "hw/usb/dev-network.c", "table"),
        ("qemu_send_packet_async", "net/net.c", "dynsym"),
        # Of several calls of one function each has its own; one that the compiler made twice counts once.
        ("rocker_int64_equal", "hw/net/rocker/rocker_of_dpa.c", "argument"),
        ("virtio_pci_vector_mask", "hw/virtio/virtio-pci.c", "argument"),
        # A first test of an array's element, of a variable that was read from a field, and of two things.
        ("e1000e_start_xmit", "hw/net/e1000e_core.c", "call shape"),
        ("vhost_log_put", "hw/virtio/vhost.c", "call shape"),
        ("net_client_init", "net/net.c", "call shape"),
        # It ends by jumping to what a pointer leads to.
        ("pci_change_irq_level", "hw/pci/pci.c", "call shape"),
        # What the rival would bring is not to be seen, there or in the callers.
        ("kvm_virtio_pci_vector_release", "hw/virtio/virtio-pci.c", "call shape"),
        ("vhost_user_add_status", "hw/virtio/vhost-user.c", "call shape"),
        ("pcnet_rdte_poll", "hw/net/pcnet.c", "call shape"),
        ("tx_command", "hw/net/eepro100.c", "call shape"),
        ("xmit_seg", "hw/net/e1000.c", "call shape"),
    ],
)
def test_callbacks_are_found(found: dict[tuple[str, str], Symbol], name: str, file: str, how: str) -> None:
    item = found[name, file]
    assert (item.how, bool(item.address)) == (how, True), item


@pytest.mark.parametrize(
    ("name", "file", "outer"),
    [
        ("start_xmit", "hw/net/e1000.c", "set_tctl"),
        ("rtl8139_cplus_transmit_one", "hw/net/rtl8139.c", "rtl8139_io_writeb"),
        ("vmxnet3_process_tx_queue", "hw/net/vmxnet3.c", "vmxnet3_io_bar0_write"),
        ("usb_net_handle_dataout", "hw/usb/dev-network.c", "usb_net_handle_data"),
    ],
)
def test_what_was_put_into_another_function_says_so(
    found: dict[tuple[str, str], Symbol], name: str, file: str, outer: str
) -> None:
    item = found[name, file]
    assert (item.how, item.address) == ("inlined", 0)
    assert item.evidence.startswith(f"contained in {outer}")
    assert found[outer, file].address


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


def test_a_second_time_it_comes_from_the_cache(
    index: Index, earlier_file: Path, found: dict[tuple[str, str], Symbol]
) -> None:
    began = time.process_time()
    known = KnownSymbols(earlier_file, index)
    assert len(known.everything()) == len(found)
    assert known.locate("tap_send", "net/tap.c") == found["tap_send", "net/tap.c"]
    assert known.locate("start_xmit", "hw/net/e1000.c") is None
    assert time.process_time() - began < 2  # 0.1 s on a machine of 2022


@pytest.fixture
def replaced(tmp_path: Path) -> Iterator[int]:
    """A QEMU that runs from a file that is there no more."""
    program = tmp_path / "qemu"
    shutil.copy(find_qemu(), program)
    argv = [program, "-M", "none", "-S", "-display", "none", "-nodefaults", "-monitor", "none"]
    modules = {"QEMU_MODULE_DIR": "/usr/lib/x86_64-linux-gnu/qemu"}
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=os.environ | modules)
    try:
        deadline = time.monotonic() + 120
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
def test_a_process_whose_program_was_replaced(replaced: int, installed: Index) -> None:
    said = CliRunner().invoke(
        command, [str(replaced), "--format", "json", "--index", str(installed.path)], catch_exceptions=False
    )
    assert said.exit_code == 0, said.output
    answer = json.loads(said.stdout)
    places = {(item["name"], item["file"]): item["address"] for item in answer["functions"]}
    place = KnownSymbols(find_qemu(), installed).locate("tap_receive_iov", "net/tap.c")
    assert place and places["tap_receive_iov", "net/tap.c"] == place.address
    assert answer["build_id"] and answer["qemu"] == installed.meta["qemu"]
