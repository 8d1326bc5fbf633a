"""All ways of a path's stages, read by hand in QEMU 7.2's source (pcnet.c, rtl8139.c, e1000.c, e1000e_core.c,
vmxnet3.c, tulip.c, virtio-net.c, virtio-pci.c, net.c, tap.c), and the conditions that choose them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtrace.model import STAGE_ORDER, Direction, Role, path_from_json
from qtrace.model import Path as Walk
from qtrace.path.both_ways import both_ways
from qtrace.path.walk import walk
from qtrace.path.ways import ways_of, with_ways
from qtrace.store.index import Index, open_index

INTO_TAP = {"deliver": ["tap_receive_iov", "tap_receive", "tap_receive_raw"], "host": ["writev"]}
FROM_TAP = {"host": ["read"], "send": ["qemu_send_packet_async"]}
DMA_TX = {"dequeue": ["pci_dma_read"], "complete": ["pci_dma_write"]}
DMA_RX = {"enqueue": ["pci_dma_write"]}
MSI = {"interrupt": ["msix_notify", "msi_notify", "pci_set_irq"]}
PIN = {"interrupt": ["pci_set_irq"]}
VIRTIO_IRQ = {"interrupt": ["msix_notify", "pci_set_irq"]}

# (NIC, direction) -> stage -> functions, the usual one first.
WAYS: dict[tuple[str, str], dict[str, list[str]]] = {
    ("virtio-net-pci", "tx"): INTO_TAP
    | VIRTIO_IRQ
    | {
        "kick": ["virtio_queue_host_notifier_read", "virtio_queue_notify"],
        "dequeue": ["virtqueue_pop"],
        "send": ["qemu_sendv_packet_async"],
        "complete": ["virtqueue_push"],
    },
    ("virtio-net-pci", "rx"): FROM_TAP
    | VIRTIO_IRQ
    | {"deliver": ["virtio_net_receive"], "enqueue": ["virtqueue_fill"]},
    ("e1000", "tx"): INTO_TAP | DMA_TX | PIN | {"kick": ["e1000_mmio_write"], "send": ["qemu_send_packet"]},
    ("e1000", "rx"): FROM_TAP | DMA_RX | PIN | {"deliver": ["e1000_receive_iov", "e1000_receive"]},
    ("e1000e", "tx"): INTO_TAP
    | DMA_TX
    | MSI
    | {"kick": ["e1000e_mmio_write", "e1000e_io_write"], "send": ["qemu_sendv_packet"]},
    ("e1000e", "rx"): FROM_TAP | DMA_RX | MSI | {"deliver": ["e1000e_nc_receive_iov", "e1000e_nc_receive"]},
    ("vmxnet3", "tx"): INTO_TAP
    | DMA_TX
    | MSI
    | {"kick": ["vmxnet3_io_bar0_write"], "send": ["qemu_sendv_packet"]},
    ("vmxnet3", "rx"): FROM_TAP | DMA_RX | MSI | {"deliver": ["vmxnet3_receive"]},
    ("rtl8139", "tx"): INTO_TAP
    | DMA_TX
    | PIN
    | {"kick": ["rtl8139_ioport_write"], "send": ["qemu_send_packet", "qemu_sendv_packet"]},
    ("rtl8139", "rx"): FROM_TAP | DMA_RX | PIN | {"deliver": ["rtl8139_receive"]},
    ("pcnet", "tx"): INTO_TAP
    | DMA_TX
    | {"kick": ["pcnet_ioport_write"], "send": ["qemu_send_packet"], "interrupt": ["qemu_set_irq"]},
    ("pcnet", "rx"): FROM_TAP | DMA_RX | {"deliver": ["pcnet_receive"], "interrupt": ["qemu_set_irq"]},
    # Descriptors word by word: a frame alone goes by pci_dma_read and pci_dma_write.
    ("tulip", "tx"): INTO_TAP
    | {
        "kick": ["tulip_write"],
        "dequeue": ["pci_dma_read", "ldl_le_pci_dma", "ldl_be_pci_dma"],
        "send": ["qemu_send_packet"],
        "complete": ["stl_le_pci_dma", "stl_be_pci_dma"],
        "interrupt": ["qemu_set_irq"],
    },
    ("tulip", "rx"): FROM_TAP
    | {
        "deliver": ["tulip_receive_nc"],
        "enqueue": ["pci_dma_write", "stl_le_pci_dma", "stl_be_pci_dma"],
        "interrupt": ["qemu_set_irq"],
    },
}
# (NIC, direction, function) -> words that its condition has.
CHOSEN_BY = {
    ("virtio-net-pci", "tx", "virtio_queue_notify"): ["not host_notifier_enabled"],
    ("virtio-net-pci", "rx", "msix_notify"): ["msix_enabled(pci_dev)", "VIRTIO_NO_VECTOR"],
    ("virtio-net-pci", "rx", "pci_set_irq"): ["not msix_enabled(pci_dev)"],
    ("vmxnet3", "tx", "msi_notify"): ["not (msix_used && msix_enabled(d))", "and msi_enabled(d)"],
    ("e1000e", "rx", "msi_notify"): ["msi_enabled(owner)", "not msix"],
    ("e1000e", "rx", "pci_set_irq"): ["not (is_msix || msi_enabled(owner))"],
    ("e1000e", "tx", "e1000e_io_write"): ["E1000_IODATA"],
    ("rtl8139", "tx", "qemu_sendv_packet"): ["iov"],
    ("rtl8139", "tx", "qemu_send_packet"): ["not iov"],
    ("e1000", "rx", "e1000_receive"): ["not (receive_iov"],
    ("virtio-net-pci", "tx", "tap_receive_raw"): ["QEMU_NET_PACKET_FLAG_RAW && receive_raw"],
}


def walked(index: Index, nic: str, way: str) -> Walk:
    return with_ways(index, walk(index, nic, "tap", direction=Direction(way)))


@pytest.fixture(scope="module", name="index")
def _index(earlier: Index) -> Index:
    return earlier


@pytest.mark.parametrize(("nic", "way"), WAYS)
def test_the_ways_of_every_stage(index: Index, nic: str, way: str) -> None:
    path = walked(index, nic, way)
    expected = WAYS[nic, way]
    assert [role.value for role in STAGE_ORDER[Direction(way)] if path.ways_of(role)] == [
        role.value for role in STAGE_ORDER[Direction(way)] if role.value in expected
    ]
    found = {
        role.value: [item.function for item in path.ways_of(role)] for role in Role if path.ways_of(role)
    }
    assert {role: names[0] for role, names in found.items()} == {r: names[0] for r, names in expected.items()}
    assert {role: sorted(names) for role, names in found.items()} == {
        role: sorted(names) for role, names in expected.items()
    }


@pytest.mark.parametrize(("nic", "way", "function"), CHOSEN_BY)
def test_what_chooses_a_way(index: Index, nic: str, way: str, function: str) -> None:
    (condition,) = [item.condition for item in walked(index, nic, way).ways if item.function == function]
    for words in CHOSEN_BY[nic, way, function]:
        assert words in condition


@pytest.mark.parametrize(("nic", "way"), WAYS)
def test_one_way_of_each_stage_is_usual_and_the_only_one_has_no_condition(
    index: Index, nic: str, way: str
) -> None:
    path = walked(index, nic, way)
    for step in path.stages:
        assert step.stage
        ways = path.ways_of(step.stage)
        assert [item.function for item in ways if item.usual] == [step.function]
        assert len(ways) > 1 or not ways[0].condition


def test_evidence_stands_in_the_tree(index: Index) -> None:
    """A call stands in its caller's body (a macro may hide its name); else a line has what it speaks of."""
    root = Path(index.meta["root"])
    seen = 0
    for nic, way in WAYS:
        for item in walked(index, nic, way).ways:
            assert item.evidence, item
            for why in item.evidence:
                words = why.why.split()
                if words[1] == "calls":
                    (caller,) = index.function(words[0], why.file)
                    assert caller.line <= why.line <= index.end_of(caller.name, caller.file)
                else:
                    lines = (root / why.file).read_text(errors="replace").splitlines()
                    near = " ".join(lines[why.line - 1 : why.line + 3])
                    assert any(word.rpartition(".")[2] in near for word in (words[0], words[-1])), (item, why)
                seen += 1
    assert seen > 300


def test_a_doorbell_that_no_eventfd_takes_comes_from_every_transport(index: Index) -> None:
    path = walked(index, "virtio-net-pci", "tx")
    (doorbell,) = [item for item in path.ways if item.function == "virtio_queue_notify"]
    callers = {why.why.split()[0] for why in doorbell.evidence}
    assert {"virtio_ioport_write", "virtio_pci_notify_write"} <= callers


def test_ways_come_back_from_json_and_older_paths_have_none(index: Index) -> None:
    path = walked(index, "e1000e", "rx")
    data = json.loads(json.dumps(path.to_json()))
    assert path_from_json(data) == path and path.ways
    del data["ways"]
    assert path_from_json(data).ways == ()


def test_the_kernel_s_stages_are_their_own_only_ways(index: Index) -> None:
    path = walk(index, "virtio-net-pci", "tap", "vhost-net", direction=Direction.TX)
    ways = ways_of(index, path)
    assert [item.function for item in ways] == [step.function for step in path.stages]
    assert all(item.usual and not item.condition for item in ways)


@pytest.mark.parametrize("way", list(Direction))
def test_what_a_virtio_device_is_on_may_tell_the_guest_by_a_line(index: Index, way: Direction) -> None:
    """virtio-net-device names no transport: virtio-mmio has a line (hw/virtio/virtio-mmio.c)."""

    def tells(nic: str) -> set[str]:
        paths = {path.direction: path for path in both_ways(index, nic, "tap", "qemu")}
        return {other.function for other in paths[way].ways_of(Role.INTERRUPT)}

    assert tells("virtio-net-pci") == {"msix_notify", "pci_set_irq"}
    assert tells("virtio-net-device") == {"msix_notify", "pci_set_irq", "qemu_set_irq"}
    assert tells("tulip") == {"qemu_set_irq", "pci_irq_handler"}
    bare = ways_of(index, walk(index, "virtio-net-device", "tap", direction=way))  # what `walk --ways` shows
    assert "qemu_set_irq" in {other.function for other in bare if other.stage is Role.INTERRUPT}


@pytest.mark.parametrize("way", list(Direction))
def test_an_answer_does_not_depend_on_those_before_it(index: Index, way: Direction) -> None:
    """Halves are kept and used again: an index that has answered nothing yet says the same."""
    pairs = [("e1000", "user"), ("e1000", "socket"), ("virtio-net-pci", "socket"), ("virtio-net-pci", "user")]
    answers = [with_ways(index, walk(index, *pair, direction=way)) for pair in pairs]
    for pair, answer in zip(pairs, answers, strict=True):
        fresh = open_index(index.path)
        assert with_ways(fresh, walk(fresh, *pair, direction=way)) == answer
