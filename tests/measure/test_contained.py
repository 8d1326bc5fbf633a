"""QEMU 10.0 with the source of its own release, in another mount namespace: found, and counted exactly."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner
from contained import NEXT, PROGRAM, make_root
from frames import all_passed, frames_to_guest, frames_to_host

from qtrace.binary.file.buildid import build_id
from qtrace.campaign.brief import make_brief
from qtrace.cli.symbols import command
from qtrace.errors import MissingPrerequisite
from qtrace.lab.link.connection import Network, open_network
from qtrace.measure.attacher import Attacher
from qtrace.measure.qemu_process import QemuProcess
from qtrace.model import Cell, Direction
from qtrace.store.index import Index
from qtrace.trace.session.engine import open_engine
from qtrace.trace.session.session import Session

pytestmark = pytest.mark.needs("root", "bcc", "tun", "unshare", "pivot_root", PROGRAM)

FRAMES = 307
UNCOUNTED = {"kick", "interrupt"}  # a call of these may stand for many frames


@pytest.fixture(scope="module")
def contained(skip_or_fail: Callable[[str], NoReturn]) -> Iterator[Network]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="qtrace-contained-"))
        try:
            programs = make_root(Path(folder))
        except MissingPrerequisite as exc:
            skip_or_fail(f"QEMU of Debian {NEXT} is not to be had: {exc}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", str(programs), prepend=":")
            network = stack.enter_context(open_network("virtio-net-pci", "tap"))
        yield network


def test_it_is_another_program_at_the_same_path(contained: Network, index: Index, newer: Index) -> None:
    pid = contained.guest.pid
    assert Path(f"/proc/{pid}/exe").readlink() == Path("/usr/bin", PROGRAM)
    assert Path(f"/proc/{pid}/ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink()
    same = index.meta["qemu"] == newer.meta["qemu"]  # where this machine runs that release itself
    assert (build_id(QemuProcess(pid).program) == build_id(Path("/usr/bin", PROGRAM))) is same


# Back ends: the receive callback and what watches the descriptor. NICs: the receive callback and what sends,
# or what it was put into.
@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("net/tap.c", ("tap_receive_iov", "tap_send")),
        ("net/slirp.c", ("net_slirp_receive", "net_slirp_send_packet")),
        ("net/stream.c", ("net_stream_receive", "net_stream_send")),
        ("net/dgram.c", ("net_dgram_receive", "net_dgram_send")),
        ("net/socket.c", ("net_socket_receive", "net_socket_receive_dgram", "net_socket_send")),
        ("net/vde.c", ("vde_receive", "vde_to_qemu")),
        ("net/l2tpv3.c", ("net_l2tpv3_receive_dgram_iov", "net_l2tpv3_send")),
        ("net/hub.c", ("net_hub_port_receive",)),
        ("hw/net/e1000.c", ("e1000_receive_iov", "set_tctl")),
        ("hw/net/e1000e_core.c", ("e1000e_start_xmit",)),
        ("hw/net/e1000e.c", ("e1000e_nc_receive_iov",)),
        ("hw/net/rtl8139.c", ("rtl8139_receive", "rtl8139_ioport_write")),
        ("hw/net/pcnet.c", ("pcnet_receive", "pcnet_transmit")),
        ("hw/net/ne2000.c", ("ne2000_receive", "ne2000_write")),
        ("hw/net/tulip.c", ("tulip_receive", "tulip_xmit_list_update")),
        ("hw/net/eepro100.c", ("nic_receive", "action_command")),
        ("hw/net/vmxnet3.c", ("vmxnet3_receive", "vmxnet3_io_bar0_write")),
        ("hw/net/virtio-net.c", ("virtio_net_receive", "virtio_net_flush_tx")),
        ("hw/usb/dev-network.c", ("usbnet_receive", "usb_net_handle_data")),
    ],
)
def test_its_functions_are_found(
    places: dict[tuple[str, str], int | None], file: str, names: tuple[str, ...]
) -> None:
    assert not [name for name in names if not places[name, file]]


@pytest.fixture(scope="module")
def places(contained: Network, newer: Index) -> dict[tuple[str, str], int | None]:
    arguments = [str(contained.guest.pid), "--all", "--format", "json", "--index", str(newer.path)]
    said = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    answer = json.loads(said.stdout)
    assert answer["qemu"] == newer.meta["qemu"]
    return {(item["name"], item["file"]): item["address"] for item in answer["functions"]}


@pytest.fixture(scope="module")
def session(contained: Network, newer: Index) -> Iterator[Session]:
    cell = Cell("virtio-net-pci", "tap", "qemu", None, "rr")
    paths = make_brief([cell], {"": newer}, "", ()).paths_of(cell)
    with open_engine() as engine, Attacher(engine, newer).attach(contained.guest.pid, paths) as session:
        yield session


@pytest.mark.parametrize("direction", list(Direction))
def test_every_stage_has_counted_every_frame(
    contained: Network, session: Session, direction: Direction
) -> None:
    send = frames_to_host if direction is Direction.TX else frames_to_guest
    session.start()
    assert send(contained, FRAMES) == FRAMES
    all_passed(contained)
    session.stop()
    rows = session.read().tables()["stages"]
    mine = [row for row in rows if row["direction"] == direction and row["stage"] not in UNCOUNTED]
    assert mine and all(row["attached"] for row in mine), mine
    assert {row["function"]: row["frames"] for row in mine} == {row["function"]: FRAMES for row in mine}
