"""`qtrace walk`: NIC x netdev x direction -> the path of a frame, step by step, each with its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from qtrace.errors import NoPath
from qtrace.model import EXACT, Boundary, CallSite, Direction, Evidence, Path, Role, Step
from qtrace.path import stage_functions as stages
from qtrace.path.netdev_side import host_side
from qtrace.path.nic_side import nic_side
from qtrace.path.route import Router, Trail
from qtrace.path.steps import Steps
from qtrace.store.index import ClientTable, Edge, FunctionRow, Index

__all__ = ["Pair", "walk"]


def walk(index: Index, nic: str, netdev: str, datapath: str = "qemu", *, direction: Direction) -> Path:
    """The path of a frame. Raises NoPath, with the reason, if there is none."""
    if datapath == "vhost-net":
        return _vhost(index, nic, netdev, direction)
    pair = Pair(index, nic, netdev)
    return pair.tx() if direction is Direction.TX else pair.rx()


class Pair:
    """A NIC and a netdev that are peers. Each half is found by itself, and joined here."""

    def __init__(self, index: Index, name: str, netdev: str) -> None:
        self.index = index
        self.name = name
        self.side = nic_side(index, name)
        self.host = host_side(index, netdev)
        self.netdev = self.host.netdev
        self.core = self.side.core
        known = (*self.side.files, *self.netdev.files)
        self.router = Router(index, self.core.net | self.core.bus | frozenset(known))

    def tx(self) -> Path:
        """Guest to host."""
        nic_part = self.side.from_guest
        if nic_part is None:
            reason = "no call chain leads from an entry of the guest to qemu_send_packet*"
            raise self.none(reason, self.side.files)
        steps = Steps()
        steps.add(nic_part[:1], last=Role.KICK)
        taken = self.side.side_step(nic_part, stages.DEQUEUE, self.side.within_nic, behind=False)
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
        back = self.side.side_step(nic_part, stages.GUEST_WRITE, self.side.within_nic, behind=False)
        steps.add(back, last=Role.COMPLETE)
        steps.add(self.side.interrupt(nic_part), last=Role.INTERRUPT)
        return self.path(Direction.TX, steps, boundary)

    def rx(self) -> Path:
        """Host to guest."""
        read = self.host.read
        if read is None:
            raise self.none("no fd handler or library callback leads to qemu_send_packet*", self.netdev.files)
        part, boundary = read
        steps = Steps()
        for trail, role in part:
            steps.add(trail, last=role)
        sender = part[-1][0][-1].function
        receive, table = self.receiver(self.side.tables)
        steps.add(self.deliver(sender, receive, table)[1:], last=Role.DELIVER)
        into = self.side.into_guest(receive)
        steps.add(into[1:], last=Role.ENQUEUE)
        steps.add(self.side.interrupt(into), last=Role.INTERRUPT)
        return self.path(Direction.RX, steps, boundary)

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

    def receiver(self, tables: Iterable[ClientTable]) -> tuple[FunctionRow, ClientTable]:
        """The function that receives a frame: net/net.c calls `receive_iov` if there is one, else
        `receive`."""
        for field in ("receive_iov", "receive"):
            for table in tables:
                if field in table.callbacks:
                    return table.callbacks[field][0], table
        raise self.none("the peer has no receive callback", (*self.side.files, *self.netdev.files))

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

    def none(self, reason: str, files: Sequence[str]) -> NoPath:
        """The error without a path; it names files in which it would be, if clang could not parse them."""
        text = f"{self.name} on {self.netdev.name}: {reason}"
        for file, errors in self.index.errors_in(files):
            text += f" ({file} was indexed with errors: {errors})"
        return NoPath(text, hint="qtrace show --unresolved may say why")


def _vhost(index: Index, name: str, netdev: str, direction: Direction) -> Path:
    """The path with vhost: the kernel's own steps, after QEMU's steps that set it up."""
    if not nic_side(index, name).is_virtio or netdev != "tap":
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


def _sure(edge: Edge | None) -> Edge | None:
    chosen = edge is not None and edge.field.startswith("NetClientInfo.")
    return replace(edge, confidence=EXACT) if edge and chosen else edge
