"""Whether a NIC receives, and the active filters of a client, from QEMU's memory (see `net_clients`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qtrace.errors import TargetError
from qtrace.model import Direction
from qtrace.trace.qemu.memory import Memory
from qtrace.trace.qemu.object_type import type_name

__all__ = ["Filter", "Receiver", "read_filters", "read_receiver"]

_MOST_FILTERS = 64
_DRIVER_OK = 0x04  # of a virtio device's status
# Intel 82540EM: offsets of registers in bytes, and bits in them.
_E1000_STATUS, _E1000_RCTL, _E1000_RDH, _E1000_RDT = 0x8, 0x100, 0x2810, 0x2818
_E1000_LINK, _E1000_ENABLED, _E1000_UNICAST = 0x2, 0x2, 0x8
_RTL8139_ENABLED, _RTL8139_ALL = 0x08, 0x01  # RealTek 8139: ChipCmd's RE, RxConfig's AAP
# qapi/net.json's NetFilterDirection: `tx` is a frame that the netdev itself sends, in qtrace's direction rx.
_FILTERED = {0: tuple(Direction), 1: (Direction.TX,), 2: (Direction.RX,)}


@dataclass(frozen=True, slots=True)
class Receiver:
    """The state of a NIC's receiver; None for an unknown value.

    `running`: the guest is not stopped. `enabled`: its driver has enabled receiving. `buffers`: the driver
    has provided buffers. `promiscuous`: every address is accepted. `refuses`: without a buffer the NIC
    refuses a frame, so that it waits and is not lost. `broken`: the device gave up after an error of the
    driver (virtio_error).
    """

    running: bool | None = None
    enabled: bool | None = None
    buffers: bool | None = None
    promiscuous: bool | None = None
    refuses: bool = False
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """An active netfilter. `kind` is its type, such as `filter-buffer`, or empty."""

    kind: str
    directions: tuple[Direction, ...]


def read_receiver(
    memory: Memory, model: str, card: int, pair: int, layout: Mapping[str, int]
) -> Receiver | None:
    """The state of the NIC of this type at `card`; `pair` is its queue's number. None for an unknown type."""
    try:
        if model.startswith("virtio-net"):
            return _virtio(memory, card, pair, layout)
        if model.startswith("e1000") and "E1000State.mac_reg" in layout and model != "e1000e":
            return _e1000(memory, card + layout["E1000State.mac_reg"])
        if model == "rtl8139":
            command = memory.number(card + layout["RTL8139State.bChipCmdState"], 1)
            config = memory.number(card + layout["RTL8139State.RxConfig"])
            return Receiver(enabled=bool(command & _RTL8139_ENABLED), promiscuous=bool(config & _RTL8139_ALL))
    except (KeyError, TargetError):  # the card may be removed meanwhile
        return None
    return None


def _virtio(memory: Memory, card: int, pair: int, layout: Mapping[str, int]) -> Receiver:
    status = memory.number(card + layout["VirtIODevice.status"], 1)
    served = memory.number(card + layout["VirtIONet.curr_queue_pairs"], 2)
    return Receiver(
        running=bool(memory.number(card + layout["VirtIODevice.vm_running"], 1)),
        enabled=bool(status & _DRIVER_OK) and pair < served,
        promiscuous=bool(memory.number(card + layout["VirtIONet.promisc"], 1)),
        refuses=True,
        broken=bool(memory.number(card + layout["VirtIODevice.broken"], 1)),
    )


def _e1000(memory: Memory, registers: int) -> Receiver:
    status, control, head, tail = (
        memory.number(registers + offset) for offset in (_E1000_STATUS, _E1000_RCTL, _E1000_RDH, _E1000_RDT)
    )
    return Receiver(
        enabled=bool(status & _E1000_LINK and control & _E1000_ENABLED),
        buffers=head != tail,
        promiscuous=bool(control & _E1000_UNICAST),
    )


def read_filters(memory: Memory, client: int, layout: Mapping[str, int]) -> tuple[Filter, ...]:
    """The active filters of the client at this address (net/filter.c); empty if unknown."""
    try:
        return tuple(_filters(memory, client, layout))
    except (KeyError, TargetError):
        return ()


def _filters(memory: Memory, client: int, layout: Mapping[str, int]) -> Iterator[Filter]:
    at = memory.word(client + layout["NetClientState.filters"])
    for _ in range(_MOST_FILTERS):
        if not at:
            return
        ways = _FILTERED.get(memory.number(at + layout["NetFilterState.direction"]))
        if ways and memory.number(at + layout["NetFilterState.on"], 1):
            kind = type_name(memory, at, layout)
            yield Filter(kind if kind.startswith("filter-") else "", ways)
        at = memory.word(at + layout["NetFilterState.next"])
