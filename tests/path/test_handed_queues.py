"""Queues that QEMU hands over, vhost-user's and vhost-vdpa's: three releases, read by hand."""

from __future__ import annotations

import pytest

from qtrace.errors import NoPath
from qtrace.model import Direction, Step
from qtrace.path.handed_queues import CARRIERS, HandedQueues, hand_over
from qtrace.store.index import Index

# Where each part ends, in the order in which they happen.
USER = [
    "virtio_add_queue",
    "vhost_user_set_mem_table",
    "vhost_user_set_vring_addr",
    "virtio_bus_set_host_notifier",
    "vhost_user_set_vring_kick",
    "virtio_pci_set_guest_notifiers",
    "vhost_user_set_vring_call",
    "vhost_user_set_vring_enable",
    "vhost_user_receive",
]
VDPA = [
    "virtio_add_queue",
    "vhost_vdpa_dma_map",
    "vhost_vdpa_set_vring_addr",
    "virtio_bus_set_host_notifier",
    "vhost_vdpa_set_vring_kick",
    "virtio_pci_set_guest_notifiers",
    "vhost_vdpa_set_vring_call",
    "vhost_svq_add",
    "virtio_net_handle_ctrl_iov",
    "vhost_vdpa_receive",
]
ENDS = {"vhost-user": USER, "vhost-vdpa": VDPA}
# By VhostOps: from the driver's status to the back end's message or ioctl.
STARTS = ["virtio_net_set_status", "virtio_net_vhost_status", "vhost_net_start", "vhost_net_start_one"]
KICK = [*STARTS, "vhost_dev_start", "vhost_virtqueue_start"]
TRANSPORTS = {"pci": "virtio-pci.c", "device": "virtio-mmio.c", "ccw": "virtio-ccw.c"}


@pytest.fixture(params=["installed", "next", "newest"])
def release(request: pytest.FixtureRequest) -> Index:
    name = {"installed": "index", "next": "newer", "newest": "newest"}[request.param]
    found: Index = request.getfixturevalue(name)
    return found


def ending(handed: HandedQueues) -> list[str]:
    return [part.steps[-1].function for part in handed.parts]


def of(handed: HandedQueues, last: str) -> list[str]:
    return [step.function for part in handed.parts if part.steps[-1].function == last for step in part.steps]


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("netdev", sorted(CARRIERS))
def test_each_part_ends_where_the_source_says(release: Index, netdev: str, direction: Direction) -> None:
    handed = hand_over(release, "virtio-net-pci", netdev, direction)
    assert ending(handed) == ENDS[netdev]
    prefix = netdev.replace("-", "_")
    assert of(handed, f"{prefix}_set_vring_kick") == [*KICK, f"{prefix}_set_vring_kick"]
    assert CARRIERS[netdev] in handed.end
    queue = "2n, " if direction is Direction.RX else "2n + 1, "
    assert queue in handed.parts[0].what
    for step in handed.steps:
        rows = release.function(step.function, step.file)
        assert step.line in {row.line for row in rows}, step


@pytest.mark.parametrize("ending", sorted(TRANSPORTS))
@pytest.mark.parametrize("netdev", sorted(CARRIERS))
def test_no_part_leaves_the_nic_s_transport_and_the_back_end(
    release: Index, netdev: str, ending: str
) -> None:
    handed = hand_over(release, f"virtio-net-{ending}", netdev, Direction.TX)
    files = {step.file.rpartition("/")[2] for step in handed.steps}
    assert TRANSPORTS[ending] in files
    assert not files & (set(TRANSPORTS.values()) - {TRANSPORTS[ending]})
    (other,) = CARRIERS.keys() - {netdev}
    assert not files & {f"{other}.c"}


def test_each_call_through_a_pointer_has_its_evidence(index: Index) -> None:
    handed = hand_over(index, "virtio-net-pci", "vhost-user", Direction.TX)
    pointed: list[Step] = [step for step in handed.steps if step.call and step.call.kind != "direct"]
    assert len(pointed) >= 5
    for step in pointed:
        assert step.call and len(step.call.evidence) >= 2
        assert all(item.line and item.file for item in step.call.evidence)


def test_only_a_virtio_nic_has_queues_to_hand_over(index: Index) -> None:
    with pytest.raises(NoPath, match="virtio"):
        hand_over(index, "e1000", "vhost-user", Direction.TX)
