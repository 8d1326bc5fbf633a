"""The addresses of a NIC's descriptor rings in the guest's memory, and the queue of each interrupt vector.

The guest's driver writes them to the device's registers, which are read from QEMU's memory. The devices'
manuals define the registers; the source index has their offsets in QEMU's structs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from qtrace.model import Direction
from qtrace.trace.qemu.memory import Memory

__all__ = ["LAYOUT", "Ring", "Vector", "read_rings", "read_vectors", "rings_known"]

TX, RX = Direction.TX, Direction.RX
_LAYOUT = {
    "E1000State": ("mac_reg",),
    "E1000EState": ("core",),
    "E1000ECore": ("mac",),
    "IGBState": ("core",),
    "IGBCore": ("mac",),
    "RTL8139State": ("TxAddr", "RxRingAddrLO", "RxRingAddrHI", "RxBuf", "RxBufferSize", "cplus_enabled"),
    "EEPRO100State": ("cb_address", "ru_base", "ru_offset"),
    "PCNetState": ("tdra", "rdra", "csr"),
    "TULIPState": ("csr",),
    "VMXNET3State": ("txq_descr", "rxq_descr", "txq_num", "rxq_num"),
    "Vmxnet3TxqDescr": ("tx_ring", "comp_ring", "intr_idx"),
    "Vmxnet3RxqDescr": ("comp_ring", "intr_idx"),
    "Vmxnet3Ring": ("pa", "size", "cell_size"),
    "VirtQueue": ("vector",),
}
# Fields, and the sizes of structs in arrays.
LAYOUT = (
    *(f"{struct}.{field}" for struct, fields in _LAYOUT.items() for field in fields),
    *("sizeof(Vmxnet3TxqDescr)", "sizeof(Vmxnet3RxqDescr)"),
)
_MOST_QUEUES = 16


@dataclass(frozen=True, slots=True)
class Ring:
    """The guest's memory from `first` up to `end`, in bytes. In a ring of direction tx, the device reads
    descriptors of frames to send and writes that they are sent; in one of direction rx, it writes that a
    frame has arrived. For linked descriptors, `first` and `end` are offsets from the present descriptor,
    whose address is the sum of the 32-bit numbers in QEMU's memory at the addresses `at`."""

    direction: Direction
    queue: int
    first: int
    end: int
    at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Vector:
    """An MSI-X vector and its queue; `direction` is None for a vector of both directions, and `queue` -1 for
    a vector of no frames."""

    number: int
    queue: int
    direction: Direction | None


class _Card:
    """One device's struct in QEMU's memory."""

    def __init__(self, memory: Memory, address: int, layout: Mapping[str, int]) -> None:
        self.memory, self.address, self.layout = memory, address, layout

    def at(self, *fields: str) -> int:
        """The address of a field, through embedded structs."""
        return self.address + sum(self.layout[field] for field in fields)

    def number(self, field: str, size: int = 4, index: int = 0) -> int:
        return self.memory.number(self.at(field) + index * size, size)

    def registers(self, *fields: str) -> Callable[[int], int]:
        """A register by its offset in bytes, in an array of 32-bit registers."""
        base = self.at(*fields)
        return lambda offset: self.memory.number(base + offset)


def read_rings(memory: Memory, model: str, card: int, layout: Mapping[str, int]) -> tuple[Ring, ...]:
    """The rings of the NIC of this type at `card` (its NICState's opaque) that the driver has set up. Empty
    for an unknown type. Raises TargetError if the memory cannot be read."""
    reader = _reader(_RINGS, model)
    if reader is None:
        return ()
    try:
        found = tuple(reader(_Card(memory, card, layout)))
    except KeyError:  # the index lacks a field
        return ()
    return tuple(ring for ring in found if (ring.at or ring.first) and ring.first < ring.end)


def read_vectors(memory: Memory, model: str, card: int, layout: Mapping[str, int]) -> tuple[Vector, ...]:
    """As `read_rings`: the vectors that are for frames, and those that are not. Empty where not known."""
    reader = _reader(_VECTORS, model)
    if reader is None:
        return ()
    try:
        return tuple(reader(_Card(memory, card, layout)))
    except KeyError:
        return ()


def rings_known(model: str) -> bool:
    """Whether a card of this type says where its rings are."""
    return _reader(_RINGS, model) is not None


Found = TypeVar("Found", Ring, Vector)


def _reader(
    readers: Mapping[str, Callable[[_Card], Iterator[Found]]], model: str
) -> Callable[[_Card], Iterator[Found]] | None:
    return next((reader for name, reader in readers.items() if re.fullmatch(name, model)), None)


def _intel(register: Callable[[int], int], base: int, direction: Direction, queue: int) -> Ring:
    """A ring in the registers of Intel's controllers: address low, high, length in bytes."""
    first = register(base) | register(base + 4) << 32
    return Ring(direction, queue, first, first + register(base + 8))


def _e1000(card: _Card) -> Iterator[Ring]:
    """Intel 8254x: TDBAL, TDBAH, TDLEN; RDBAL, RDBAH, RDLEN."""
    register = card.registers("E1000State.mac_reg")
    yield _intel(register, 0x3800, TX, 0)
    yield _intel(register, 0x2800, RX, 0)


def _e1000e(card: _Card) -> Iterator[Ring]:
    """Intel 82574: two queues, 0x100 apart."""
    register = card.registers("E1000EState.core", "E1000ECore.mac")
    for queue in range(2):
        yield _intel(register, 0x3800 + 0x100 * queue, TX, queue)
        yield _intel(register, 0x2800 + 0x100 * queue, RX, queue)


def _e1000e_vectors(card: _Card) -> Iterator[Vector]:
    """Intel 82574's IVAR: four bits each, of which the highest marks a valid entry."""
    entries = card.registers("E1000EState.core", "E1000ECore.mac")(0xE4)
    meant = ((RX, 0), (RX, 1), (TX, 0), (TX, 1), (None, -1))
    yield from _merged(
        (entries >> 4 * number & 7, queue, direction)
        for number, (direction, queue) in enumerate(meant)
        if entries >> 4 * number & 8
    )


def _igb(card: _Card) -> Iterator[Ring]:
    """Intel 82576: sixteen queues, 0x40 apart."""
    register = card.registers("IGBState.core", "IGBCore.mac")
    for queue in range(_MOST_QUEUES):
        yield _intel(register, 0xE000 + 0x40 * queue, TX, queue)
        yield _intel(register, 0xC000 + 0x40 * queue, RX, queue)


def _igb_vectors(card: _Card) -> Iterator[Vector]:
    """Intel 82576's IVAR0 to IVAR7: bytes for rx n, tx n, rx n + 8, tx n + 8; IVAR_MISC has two for no
    frames."""
    register = card.registers("IGBState.core", "IGBCore.mac")

    def entries() -> Iterator[tuple[int, int, Direction | None]]:
        for queue in range(_MOST_QUEUES):
            word = register(0x1700 + 4 * (queue % 8)) >> 16 * (queue // 8)
            for direction, entry in ((RX, word & 0xFF), (TX, word >> 8 & 0xFF)):
                if entry & 0x80:
                    yield entry & 0x1F, queue, direction
        for entry in register(0x1740) & 0xFF, register(0x1740) >> 8 & 0xFF:
            if entry & 0x80:
                yield entry & 0x1F, -1, None

    yield from _merged(entries())


def _rtl8139(card: _Card) -> Iterator[Ring]:
    """RealTek 8139: in C+ mode rings of 16-byte descriptors, else four buffers to send from and one to
    receive in. No register has the number of descriptors: at most 64 (data sheet of the 8139C+)."""
    addresses = [card.number("RTL8139State.TxAddr", index=number) for number in range(4)]
    if card.number("RTL8139State.cplus_enabled"):
        sent = addresses[0] | addresses[1] << 32
        low, high = card.number("RTL8139State.RxRingAddrLO"), card.number("RTL8139State.RxRingAddrHI")
        received = low | high << 32
        yield Ring(TX, 0, sent, sent + 64 * 16)
        yield Ring(RX, 0, received, received + 64 * 16)
        return
    for address in addresses:
        yield Ring(TX, 0, address, address + 0x700)  # the largest frame that it sends
    first = card.number("RTL8139State.RxBuf")
    size = card.number("RTL8139State.RxBufferSize") + 2048  # a frame may extend beyond the buffer's end
    yield Ring(RX, 0, first, first + size)


def _pcnet(card: _Card) -> Iterator[Ring]:
    """AMD Am79C970A: CSR76 and CSR78 are the rings' lengths; descriptors have 16 bytes in 32-bit mode, and 8
    in the old mode, for which this range is twice the ring."""
    for direction, field, length in ((TX, "PCNetState.tdra", 78), (RX, "PCNetState.rdra", 76)):
        first = card.number(field)
        yield Ring(direction, 0, first, first + 16 * card.number("PCNetState.csr", 2, length))


def _eepro100(card: _Card) -> Iterator[Ring]:
    """Intel 8255x: command blocks and receive frame descriptors are linked, and the device knows the one that
    it is at. Of both the first 16 bytes are no data (Intel 8255x developer's manual, 6.4)."""
    yield Ring(TX, 0, 0, 16, (card.at("EEPRO100State.cb_address"),))
    received = card.at("EEPRO100State.ru_base"), card.at("EEPRO100State.ru_offset")
    yield Ring(RX, 0, 0, 16, received)


def _tulip(card: _Card) -> Iterator[Ring]:
    """DEC 21143: CSR3 and CSR4 are the beginnings of the lists. No register has their lengths: a list ends
    where the other begins, or after 4 KiB."""
    lists = {RX: card.number("TULIPState.csr", index=3), TX: card.number("TULIPState.csr", index=4)}
    for direction, first in lists.items():
        ends = [other for other in lists.values() if other > first] or [first + 4096]
        yield Ring(direction, 0, first, min(*ends, first + 4096))


def _vmxnet3_queues(card: _Card, what: str) -> Iterator[_Card]:
    """The structs of its queues, `Txq` or `Rxq`."""
    low = what.lower()
    size = card.layout[f"sizeof(Vmxnet3{what}Descr)"]
    for queue in range(min(_MOST_QUEUES, card.number(f"VMXNET3State.{low}_num", 1))):
        yield _Card(card.memory, card.at(f"VMXNET3State.{low}_descr") + queue * size, card.layout)


def _vmxnet3(card: _Card) -> Iterator[Ring]:
    """VMware's: the device reads a ring of descriptors, and writes a ring of completions."""

    def ring(of: _Card, field: str, direction: Direction, queue: int) -> Ring:
        place = _Card(of.memory, of.at(field), of.layout)
        first = place.number("Vmxnet3Ring.pa", 8)
        cells = place.number("Vmxnet3Ring.size") * place.number("Vmxnet3Ring.cell_size")
        return Ring(direction, queue, first, first + cells)

    for queue, place in enumerate(_vmxnet3_queues(card, "Txq")):
        yield ring(place, "Vmxnet3TxqDescr.tx_ring", TX, queue)
        yield ring(place, "Vmxnet3TxqDescr.comp_ring", TX, queue)
    for queue, place in enumerate(_vmxnet3_queues(card, "Rxq")):
        yield ring(place, "Vmxnet3RxqDescr.comp_ring", RX, queue)


def _vmxnet3_vectors(card: _Card) -> Iterator[Vector]:
    """The vector's index of each queue. Linux's driver gives both directions of a queue one vector."""

    def entries() -> Iterator[tuple[int, int, Direction | None]]:
        for what, direction in (("Txq", TX), ("Rxq", RX)):
            for queue, place in enumerate(_vmxnet3_queues(card, what)):
                yield place.number(f"Vmxnet3{what}Descr.intr_idx", 1), queue, direction

    yield from _merged(entries())


def _merged(entries: Iterable[tuple[int, int, Direction | None]]) -> list[Vector]:
    """One `Vector` for each number: one for both directions of a queue has no direction, and one for frames
    and other events counts as one for frames."""
    found: dict[int, Vector] = {}
    for number, queue, direction in entries:
        before = found.get(number)
        if before is None or before.queue < 0:
            found[number] = Vector(number, queue, direction)
        elif queue >= 0 and direction != before.direction:
            found[number] = Vector(number, before.queue, None)
    return list(found.values())


# By what a type's name matches: of e1000 and of eepro100 there are several.
_RINGS: Mapping[str, Callable[[_Card], Iterator[Ring]]] = {
    "e1000(-.+)?": _e1000,
    r"i82[58]\w+": _eepro100,
    "e1000e": _e1000e,
    "igb": _igb,
    "rtl8139": _rtl8139,
    "pcnet": _pcnet,
    "tulip": _tulip,
    "vmxnet3": _vmxnet3,
}
_VECTORS: Mapping[str, Callable[[_Card], Iterator[Vector]]] = {
    "e1000e": _e1000e_vectors,
    "igb": _igb_vectors,
    "vmxnet3": _vmxnet3_vectors,
}
