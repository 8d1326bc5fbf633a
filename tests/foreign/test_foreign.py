"""A guest that nobody here built: each stage counts its frames, interrupts are as many as the guest took."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from accounts import EACH_FRAME, Account, record
from installer import open_installer
from machines import EACH_WAY, NEXT, Machine
from programs import open_program

from qtrace.errors import MissingPrerequisite
from qtrace.store.index import Index

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64", "setpriv", "unshare", "pivot_root")

# The one way that each takes to be told of frames, and to tell of them.
WAYS = {
    "e1000e-e1000e": ("e1000e_mmio_write", "msix_notify"),
    "tulip-tulip": ("tulip_write", "pci_irq_handler"),
    "vmxnet3-vmxnet3": ("vmxnet3_io_bar0_write", "msix_notify"),
    "i82559er-e100": ("eepro100_write", "pci_set_irq"),
    "virtio-net-pci-vectors=0-virtio_net": ("virtio_queue_host_notifier_read", "pci_set_irq"),
    "virtio-net-pci-ioeventfd=off-virtio_net": ("virtio_queue_notify", "msix_notify"),
    "igb-igb": ("igb_mmio_write", "msix_notify"),
}


@pytest.fixture(scope="module", params=EACH_WAY, ids=str)
def account(
    request: pytest.FixtureRequest,
    index: Index,
    tmp_path_factory: pytest.TempPathFactory,
    skip_or_fail: Callable[[str], NoReturn],
) -> Iterator[Account]:
    machine: Machine = request.param
    path = str(request.getfixturevalue("newer").path) if machine.qemu == NEXT else ""
    with contextlib.ExitStack() as stack:
        try:
            program = stack.enter_context(open_program(machine.qemu))
            guest = stack.enter_context(open_installer(machine, program))
        except MissingPrerequisite as exc:
            skip_or_fail(f"the guest or its QEMU is not to be had: {exc}")
        yield record(guest, tmp_path_factory.mktemp("run") / "run", path)


def test_what_is_counted_is_what_the_guest_says(account: Account) -> None:
    assert account.wrong() == []
    assert min(account.sent, account.received) >= account.pings  # those that take three frames besides


def test_every_stage_of_the_path_is_measured(account: Account) -> None:
    assert account.unmeasured() == {}
    held = {(verdict.direction, verdict.stage) for verdict in account.verdicts()}
    assert {("tx", "kick"), ("", "interrupt")} <= held
    assert {(way, stage) for way in ("tx", "rx") for stage in ("send", "deliver", "host")} <= held
    assert {("tx", "dequeue"), ("rx", "enqueue")} <= held
    assert {stage for _, stage in held} <= {"kick", "interrupt", *EACH_FRAME}


def virtio_mmio_way(index: Index) -> tuple[str, str]:
    """virtio-mmio without KVM: until 8.2 it had no eventfd then, and was told within the guest's write."""
    text = Path(index.meta["root"], "hw/virtio/virtio-mmio.c").read_text()
    told = "virtio_queue_notify" if "kvm_eventfds_enabled()" in text else "virtio_queue_host_notifier_read"
    return told, "qemu_set_irq"


def test_it_is_told_and_tells_by_its_own_way(
    account: Account, index: Index, request: pytest.FixtureRequest
) -> None:
    kind = account.machine.kind
    release: Index = request.getfixturevalue("newer") if account.machine.qemu == NEXT else index
    kick, interrupt = WAYS.get(kind) or virtio_mmio_way(release)
    assert kind in WAYS or kind == "virtio-net-device-virtio_net"
    taken = {(stage, function) for _, stage, function in account.ways if stage in ("kick", "interrupt")}
    assert taken == {("kick", kick), ("interrupt", interrupt)}
