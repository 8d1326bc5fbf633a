"""Queues that QEMU hands over: what of a path is QEMU's where somebody else carries the frames.

With `vhost-user` another process does, with `vhost-vdpa` a device: both read and write the queues in guest
memory themselves. QEMU tells them where the queues and the memory are, gives them the descriptors by which
the guest and they wake each other (VhostOps of include/hw/virtio/vhost-backend.h), and has to do with the
control queue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from qtrace.errors import NoPath
from qtrace.model import Direction, Step
from qtrace.path.catalogue import core_files, find_nic, nic_runs
from qtrace.path.core import core_of
from qtrace.path.route import Router
from qtrace.path.steps import Steps, named
from qtrace.store.index import ClientTable, Edge, Index

__all__ = ["CARRIERS", "HandedQueues", "Part", "hand_over"]

# Netdev -> who takes the frames and puts them there.
CARRIERS = {"vhost-user": "another process", "vhost-vdpa": "a vDPA device"}
_FARTHEST = 400
# How a virtio NIC's name ends -> the file of its transport.
_TRANSPORTS = {
    "pci": "hw/virtio/virtio-pci.c",
    "ccw": "hw/s390x/virtio-ccw.c",
    "device": "hw/virtio/virtio-mmio.c",
}
_QUEUE = {
    Direction.RX: "2n, by which pair n of queues receives",
    Direction.TX: "2n + 1, by which pair n of queues sends",
}
_KICKS = {
    Direction.RX: "by it the guest says that there is room again",
    Direction.TX: "by it the guest says that there are frames",
}
_CALLS = {
    Direction.RX: "by it the guest learns that frames have come",
    Direction.TX: "by it the guest learns that frames have been sent",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that QEMU does of it: `what` in words, and the calls that do it, each with its place."""

    what: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class HandedQueues:
    """The parts in the order in which they happen; `end` says where the frames go instead."""

    nic: str
    netdev: str
    direction: Direction
    parts: tuple[Part, ...]
    end: str

    @property
    def title(self) -> str:
        """What it is."""
        return f"{self.nic} on {self.netdev}, {self.direction}: queues that QEMU hands over"

    @property
    def steps(self) -> tuple[Step, ...]:
        """All of them, one part after another; the first of each says what it is."""
        return tuple(
            replace(step, call=None, note=part.what) if number == 0 else step
            for part in self.parts
            for number, step in enumerate(part.steps)
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; `steps` are those of `parts`."""
        return asdict(self) | {"datapath": self.netdev}


def hand_over(index: Index, nic: str, netdev: str, direction: Direction) -> HandedQueues:
    """What QEMU does for the frames of this direction. Raises NoPath where the NIC has no such queues, or
    this QEMU has no such netdev."""
    model = find_nic(index, nic)
    runs = nic_runs(index, model)
    files = core_files(index, model, runs)
    status = [
        index.function_by_id(int(value)).name
        for field, what, value, _, _ in index.registrations_in(files)
        if field == "VirtioDeviceClass.set_status" and what == "function"
    ]
    if not status:
        raise NoPath(
            f"{nic} on {netdev}: only a virtio NIC has queues that QEMU can hand over",
            hint="choose virtio-net-pci",
        )
    found = tuple(_Search(index, nic, netdev, status[0], direction).parts())
    if not found:
        raise NoPath(f"QEMU {index.meta['qemu']} hands no queue over to {netdev!r}", hint="see 'qtrace map'")
    end = f"the frames pass QEMU nowhere: {CARRIERS[netdev]} takes them from guest memory and puts them there"
    return HandedQueues(nic, netdev, direction, found, end)


class _Search:
    """The calls of one hand-over; `status` is the NIC's function that the driver's status reaches."""

    def __init__(self, index: Index, nic: str, netdev: str, status: str, direction: Direction) -> None:
        self._index, self._netdev = index, netdev
        self._status, self._direction = status, direction
        ours = (f"hw/virtio/{netdev}.c", f"net/{netdev}.c")
        core = core_of(index)
        self._router = Router(index, core.net | core.bus | {row.file for row in index.function(status)})
        vring = (f"vhost_set_vring_{name}" for name in ("addr", "kick", "call", "enable"))
        self._ops = self._pointers("VhostOps", ("vhost_set_mem_table", *vring), ours)
        self._ours = ours
        ending = nic.removesuffix("-transitional").removesuffix("-non").rpartition("-")[2]
        self._transport = _TRANSPORTS.get(ending, _TRANSPORTS["pci"])

    def parts(self) -> Iterator[Part]:
        """Those that this QEMU has."""
        who, way = CARRIERS[self._netdev], self._direction
        made = f"the NIC makes queue {_QUEUE[way]}"
        yield from self._part(made, "virtio_net_add_queue", "virtio_add_queue")
        yield from self._memory(f"{who} is told where the guest's memory is")
        yield from self._part(f"{who} is told where the queue is", self._status, self._op("addr"))
        yield from self._part(
            "a write to the queue's doorbell becomes an event of its host notifier",
            self._status,
            "virtio_bus_set_host_notifier",
        )
        kick = f"{who} is given that notifier: {_KICKS[way]}, and QEMU does not wake"
        yield from self._part(kick, self._status, self._op("kick"))
        yield from self._part(
            "an event of the queue's guest notifier becomes an interrupt", self._status, self._notifiers()
        )
        call = f"{who} is given that notifier: {_CALLS[way]}"
        yield from self._part(call, self._status, self._op("call"))
        yield from self._control()
        for table in self._clients():
            for field in ("receive_iov", "receive"):
                if field in table.callbacks:
                    function = table.callbacks[field][0]
                    step = Step(function.name, function.file, function.line)
                    what = "a frame of QEMU's own for the back end (an announcement, a filter's) ends here"
                    yield Part(what, (step,))
                    return

    def _memory(self, what: str) -> Iterator[Part]:
        listeners = self._pointers("MemoryListener", ("region_add",), self._ours)
        if start := listeners.get("region_add"):
            yield from self._part(f"{what}, region by region", start, "vhost_vdpa_dma_map")
        else:
            yield from self._part(what, self._status, self._ops.get("vhost_set_mem_table", ""))

    def _control(self) -> Iterator[Part]:
        """The queue by which the guest's driver commands the NIC: addresses, VLANs, the number of queues."""
        shadow = self._pointers("VhostShadowVirtqueueOps", ("avail_handler",), self._ours)
        if start := shadow.get("avail_handler"):
            what = "the device reads the control queue itself; where QEMU shadows it, QEMU takes each command"
            yield from self._part(f"{what} first and hands it on", start, "vhost_svq_add")
            own = "and then does with the NIC's own state what the command says"
            yield from self._part(own, start, "virtio_net_handle_ctrl_iov")
        else:
            what = "QEMU reads the control queue; what it says of the number of queues is passed on"
            yield from self._part(what, "virtio_net_handle_ctrl", self._op("enable"))

    def _part(self, what: str, first: str, last: str) -> Iterator[Part]:
        starts = [row.id for row in self._index.function(first)] if first and last else []
        trail = self._router.route(starts, named({last}), self._allowed, _FARTHEST) if starts else None
        if trail:
            steps = Steps()
            steps.add(trail, last=None)
            yield Part(what, tuple(steps.steps))

    def _op(self, name: str) -> str:
        return self._ops.get(f"vhost_set_vring_{name}", "")

    def _notifiers(self) -> str:
        """How this NIC's transport connects them: VirtioBusClass.set_guest_notifiers."""
        for field, what, value, _, _ in self._index.registrations_in((self._transport,)):
            if field == "VirtioBusClass.set_guest_notifiers" and what == "function":
                return self._index.function_by_id(int(value)).name
        return ""

    def _allowed(self, edge: Edge) -> bool:
        """A NIC has one transport, and its queues one back end."""
        file = self._router.function(edge.callee).file
        other = {*_TRANSPORTS.values()} - {self._transport}
        other |= {f"{folder}/{netdev}.c" for folder in ("hw/virtio", "net") for netdev in CARRIERS}
        return file not in other - set(self._ours)

    def _clients(self) -> list[ClientTable]:
        return [table for table in self._index.client_tables() if table.file == f"net/{self._netdev}.c"]

    def _pointers(self, struct: str, fields: tuple[str, ...], files: tuple[str, ...]) -> dict[str, str]:
        """Field -> the function that this back end's table has there."""
        return {
            field: self._index.function_by_id(int(value)).name
            for _, _, field, what, value, file, _ in self._index.tables(struct, fields)
            if what == "function" and file in files
        }
