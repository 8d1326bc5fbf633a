"""`qtrace walk`: NIC x netdev x direction -> the path of a frame, step by step, each with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from qtrace.errors import NoPath
from qtrace.model import EXACT, Boundary, CallSite, Direction, Evidence, Path, Role, Step
from qtrace.path import stage_functions as stages
from qtrace.path.catalogue import Nic, core_files, find_nic, nic_runs
from qtrace.path.core import Core
from qtrace.path.netdev_side import HostSide
from qtrace.path.netdevs import Netdev, find_netdev
from qtrace.path.route import Hop, Router, Trail
from qtrace.path.steps import Steps, named
from qtrace.store.index import ClientTable, Edge, FunctionRow, Index

__all__ = ["Pair", "walk"]

# Callbacks in a NIC's own files through which no guest access enters.
_NOT_ENTRIES = ("TypeInfo.", "DeviceClass.", "NetClientInfo.", "VMStateDescription.", "QEMUTimer.", "QEMUBH.")
_SET_UP = (".init", ".initialise", ".realize", ".reset", ".handle_reset", ".exit")


def walk(index: Index, nic: str, netdev: str, datapath: str = "qemu", *, direction: Direction) -> Path:
    """The path of a frame. Raises NoPath, with the reason, if there is none."""
    model = find_nic(index, nic)
    if datapath == "vhost-net":
        return _vhost(index, nic, model, netdev, direction)
    pair = Pair(index, nic, model, find_netdev(index, netdev))
    return pair.tx() if direction is Direction.TX else pair.rx()


class Pair:
    """A NIC and a netdev that are peers."""

    def __init__(self, index: Index, name: str, nic: Nic, netdev: Netdev) -> None:
        self.index = index
        self.name = name
        self.nic = nic
        self.netdev = netdev
        self.runs = nic_runs(index, nic)
        self.nic_files = core_files(index, nic, self.runs)
        self.core = Core(index)
        known = frozenset((*self.nic_files, *netdev.files))
        self.router = Router(index, known | self.core.net | self.core.bus)
        self.host = HostSide(index, self.router, netdev)

    def tx(self) -> Path:
        """Guest to host."""
        nic_part = self.from_guest()
        steps = Steps()
        steps.add(nic_part[:1], last=Role.KICK)
        taken = self.side_step(nic_part, stages.DEQUEUE, self.within_nic, behind=False)
        steps.splice(nic_part[1:-1], taken, Role.DEQUEUE)
        steps.add(nic_part[-1:], last=Role.SEND)
        receive, table = self.receiver(self.netdev.tables)
        steps.add(self.deliver(nic_part[-1].function, receive, table)[1:], last=Role.DELIVER)
        host = self.host.write(receive)
        if host is None:
            raise self.none(
                f"no call chain leads from {receive.name} to a system or library call", self.netdev.files
            )
        trail, inside, boundary = host
        steps.add(trail[1:], last=Role.HOST)
        steps.add(inside, last=None)
        back = self.side_step(nic_part, stages.GUEST_WRITE, self.within_nic, behind=False)
        steps.add(back, last=Role.COMPLETE)
        steps.add(self.interrupt(nic_part), last=Role.INTERRUPT)
        return self.path(Direction.TX, steps, boundary)

    def rx(self) -> Path:
        """Host to guest."""
        read = self.host.read()
        if read is None:
            raise self.none("no fd handler or library callback leads to qemu_send_packet*", self.netdev.files)
        part, boundary = read
        steps = Steps()
        for trail, role in part:
            steps.add(trail, last=role)
        sender = part[-1][0][-1].function
        receive, table = self.receiver(self.nic.tables)
        steps.add(self.deliver(sender, receive, table)[1:], last=Role.DELIVER)
        into = self.into_guest(receive)
        steps.add(into[1:], last=Role.ENQUEUE)
        steps.add(self.interrupt(into), last=Role.INTERRUPT)
        return self.path(Direction.RX, steps, boundary)

    def into_guest(self, receive: FunctionRow) -> Trail:
        """From the NIC's receive callback into guest memory; `receive` alone where no way is known."""
        for names in (stages.ENQUEUE[:2], stages.ENQUEUE):
            if found := self.router.route([receive.id], named(names), self.within_nic):
                return found
        return [Hop(None, receive)]

    def path(self, direction: Direction, steps: Steps, boundary: Boundary) -> Path:
        noted = tuple(self.noted(step) for step in steps.steps)
        return Path(self.name, self.netdev.name, "qemu", direction, noted, boundary)

    def noted(self, step: Step) -> Step:
        """The step, with a note if the function may put the frame into a queue."""
        for row in self.index.function(step.function, step.file):
            called = {self.router.function(edge.callee).name for edge in self.router.out(row.id)}
            if called & set(stages.QUEUED):
                return replace(step, note=stages.QUEUE_NOTE)
        return step

    def from_guest(self) -> Trail:
        """From the guest's entry into the NIC to the function with which the NIC sends a frame."""
        for starts in (self.doorbells(), self.entries()):
            if trail := self.router.route(starts, named(stages.SEND), self.forward):
                return trail
        raise self.none("no call chain leads from an entry of the guest to qemu_send_packet*", self.nic_files)

    def doorbells(self) -> list[int]:
        """The functions entered by the guest's write: the virtio queue's notifier, or register writes of the
        NIC."""
        if kick := [row.id for row in self.index.function(stages.VIRTIO_KICK) if row.id in self.runs]:
            return kick
        return [
            int(value)
            for _, _, field, what, value, file, _ in self.index.tables(
                "MemoryRegionOps", ("write", "write_with_attrs")
            )
            if what == "function" and file in self.nic_files and int(value) in self.runs
        ]

    def entries(self) -> list[int]:
        """Every other callback of the NIC: a USB transfer, a hypercall, a DMA engine's push, an event."""
        found = [
            int(value)
            for field, what, value, _, _ in self.index.registrations_in(self.nic_files)
            if what == "function"
            and value.isdigit()
            and int(value) in self.runs
            and not field.startswith(_NOT_ENTRIES)
            and not field.endswith(_SET_UP)
        ]
        return list(dict.fromkeys(found))

    def receiver(self, tables: Iterable[ClientTable]) -> tuple[FunctionRow, ClientTable]:
        """The function that receives a frame: net/net.c calls `receive_iov` if there is one, else
        `receive`."""
        for field in ("receive_iov", "receive"):
            for table in tables:
                if field in table.callbacks:
                    return table.callbacks[field][0], table
        raise self.none("the peer has no receive callback", (*self.nic_files, *self.netdev.files))

    def deliver(self, sender: FunctionRow, receive: FunctionRow, table: ClientTable) -> Trail:
        """From the send function through the queue to the peer: only the peer's `info->receive*` is a
        target."""

        def allowed(edge: Edge) -> bool:
            if edge.field.startswith("NetClientInfo."):
                return edge.callee == receive.id
            target = self.router.function(edge.callee)
            return target.file in self.core.net or target.id == receive.id

        trail = self.router.route([sender.id], lambda function: function.id == receive.id, allowed)
        if trail is None:
            raise self.none(
                f"no call chain leads from {sender.name} to {receive.name}", sorted(self.core.net)
            )
        # Of many possible targets, the pair determines one.
        return [hop._replace(edge=_sure(hop.edge)) for hop in trail]

    def interrupt(self, spine: Trail) -> Trail:
        """The side step that notifies the guest."""
        return self.side_step(spine, stages.INTERRUPT, self.within_bus, limit=16)

    def side_step(
        self,
        spine: Trail,
        names: tuple[str, ...],
        allowed: Callable[[Edge], bool],
        limit: int = 6,
        behind: bool = True,
    ) -> Trail:
        """From a function on `spine` to the first of `names` with a route; empty if none has one."""
        for name in names:
            if found := self.side_trail(spine, name, allowed, limit, behind):
                return found[1:]
        return []

    def side_trail(
        self, spine: Trail, name: str, allowed: Callable[[Edge], bool], limit: int, behind: bool = True
    ) -> Trail | None:
        """The same for one name, from the function on `spine` that is nearest to its end and has a route to
        it.

        With `behind`, calls after the one that carries the frame on are preferred: calls before it belong to
        other branches (`pcnet_stop` in `pcnet_csr_writew`). A NIC that loops a frame back to itself receives
        it in the middle of sending, which is the path of another frame, so functions that only receiving runs
        are left out unless `spine` starts from a receive callback.
        """
        body = spine[:-1] or spine
        aside = self.receiving - {hop.function.id for hop in body}
        if any(hop.function.id in self.receivers for hop in body):
            aside = frozenset()
        lines = [hop.edge.line if hop.edge else 0 for hop in spine[1:]] or [0]

        def search(hop: Hop, line: int) -> Trail | None:
            def own(edge: Edge) -> bool:
                before = edge.caller == hop.function.id and edge.line <= line
                return edge.callee not in aside and not before and allowed(edge)

            return self.router.route([hop], named({name}), own, limit)

        hops = list(zip(body, lines, strict=True))[::-1]
        for only_behind in (True, False) if behind else (False,):
            for hop, line in hops:
                if found := search(hop, line * only_behind):
                    return found
        return None

    @cached_property
    def receivers(self) -> frozenset[int]:
        """The NIC's callbacks that receive a frame."""
        fields = ("receive_iov", "receive", "receive_raw")
        tables = self.nic.tables
        return frozenset(t.callbacks[field][0].id for t in tables for field in fields if field in t.callbacks)

    @cached_property
    def receiving(self) -> frozenset[int]:
        """The functions that carry a frame from these callbacks into guest memory and lead to an interrupt.
        Their last functions, which write to memory, are excluded: sending uses them too."""
        trails = [self.router.route([at], named(stages.ENQUEUE), self.within_nic) for at in self.receivers]
        carry = {hop.function.id for trail in trails if trail for hop in trail[:-1]}
        tell = named(stages.INTERRUPT)
        telling = {at for at in carry if self.router.route([at], tell, self.within_bus, limit=16)}
        return self.receivers | telling

    def forward(self, edge: Edge) -> bool:
        """Whether an edge is on the NIC's side: its own functions, up to the one that sends a frame."""
        target = self.router.function(edge.callee)
        return target.name in stages.SEND or self._own(target)

    def within_nic(self, edge: Edge) -> bool:
        """As `forward`, up to guest memory."""
        target = self.router.function(edge.callee)
        known = {*stages.DEQUEUE, *stages.ENQUEUE, *stages.GUEST_WRITE}
        return target.name in known or self._own(target)

    def within_bus(self, edge: Edge) -> bool:
        """As `forward`, up to the interrupt."""
        target = self.router.function(edge.callee)
        return target.name in stages.INTERRUPTS or self._own(target)

    def _own(self, target: FunctionRow) -> bool:
        return target.id in self.runs and target.file not in self.core.net

    def none(self, reason: str, files: Sequence[str]) -> NoPath:
        """The error without a path; it names files in which it would be, if clang could not parse them."""
        text = f"{self.name} on {self.netdev.name}: {reason}"
        for file, errors in self.index.errors_in(files):
            text += f" ({file} was indexed with errors: {errors})"
        return NoPath(text, hint="qtrace show --unresolved may say why")


def _vhost(index: Index, name: str, nic: Nic, netdev: str, direction: Direction) -> Path:
    """The path with vhost: the kernel's own steps, after QEMU's steps that set it up."""
    if netdev != "tap" or not _is_virtio(index, nic):
        raise NoPath(
            f"vhost-net carries frames only between a virtio NIC and a tap, not {name} on {netdev}",
            hint="drop --vhost, or choose virtio-net-pci and tap",
        )
    steps = []
    start = index.function("vhost_net_start")
    setup: tuple[Evidence, ...] = ()
    if start:
        setup = (Evidence(start[0].file, start[0].line, "vhost_net_start hands the queues to the kernel"),)
    for number, (function, file, role) in enumerate(stages.KERNEL_VHOST[direction.value]):
        call = CallSite(file, 0, "kernel", setup if number == 0 else ())
        steps.append(Step(function, file, 0, role, call))
    return Path(name, netdev, "vhost-net", direction, tuple(steps), Boundary("kernel", "vhost-net"))


def _is_virtio(index: Index, nic: Nic) -> bool:
    """Whether the guest's doorbell is that of a virtio queue."""
    kicks = {row.id for row in index.function(stages.VIRTIO_KICK)}
    return not kicks.isdisjoint(nic_runs(index, nic))


def _sure(edge: Edge | None) -> Edge | None:
    chosen = edge is not None and edge.field.startswith("NetClientInfo.")
    return replace(edge, confidence=EXACT) if edge and chosen else edge
