"""`qtrace walk`: NIC x netdev x direction -> the path of a frame, step by step, each with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qtrace.errors import NoPath
from qtrace.model import Boundary, CallSite, Direction, Evidence, Path, Role, Step
from qtrace.source import stages
from qtrace.source.catalogue import Nic, backend_name, find_nic
from qtrace.source.platforms import other_platform
from qtrace.source.route import Router
from qtrace.store.index import ClientTable, Edge, FunctionRow, Index

__all__ = ["netdev_names", "walk"]

Trail = list[tuple[Edge | None, FunctionRow]]


def netdev_names(index: Index) -> list[str]:
    """The netdevs that `walk` can be asked about."""
    return [name for row in index.backends() if (name := backend_name(row[0])) != "nic"]


def walk(index: Index, nic: str, netdev: str, datapath: str = "qemu", *, direction: Direction) -> Path:
    """The path of a frame. Raises NoPath, with the reason, where there is none."""
    model = find_nic(index, nic)
    if netdev not in netdev_names(index):
        known = ", ".join(netdev_names(index))
        raise NoPath(f"QEMU {index.meta['qemu']} has no netdev {netdev!r}", hint=f"known: {known}")
    if datapath == "vhost-net":
        return _vhost(index, nic, model, netdev, direction)
    tables = [table for table in index.client_tables() if backend_name(table.driver) == netdev]
    tables = [table for table in tables if not other_platform(table.file)]
    tables = [table for table in tables if {"receive", "receive_iov"} & table.callbacks.keys()]
    if not tables:
        raise NoPath(f"netdev {netdev!r} has no NetClientInfo with a receive callback in this index")
    pair = _Pair(index, nic, model, netdev, tables)
    return pair.tx() if direction is Direction.TX else pair.rx()


class _Pair:
    """A NIC and a netdev that are each other's peer."""

    def __init__(self, index: Index, name: str, nic: Nic, netdev: str, tables: list[ClientTable]) -> None:
        self.index = index
        self.name = name
        self.nic = nic
        self.netdev = netdev
        self.tables = tables
        self.netdev_files = sorted({table.file for table in tables} | _helpers(index, tables))
        self.router = Router(index, [*nic.files, *self.netdev_files])

    def tx(self) -> Path:
        """Guest to host."""
        nic_part = self.router.route(self.doorbells(), _named(stages.SEND), self.forward)
        if nic_part is None:
            raise self.none("no call chain leads from the guest's doorbell to qemu_send_packet*")
        steps = _Steps()
        steps.add(nic_part[:1], last=Role.KICK)
        taken = self.branch(nic_part[:-1], stages.DEQUEUE)
        steps.splice(nic_part[1:-1], taken, Role.DEQUEUE)
        steps.add(nic_part[-1:], last=Role.SEND)
        receive, table = self.receiver(self.tables)
        steps.add(self.deliver(nic_part[-1][1], receive, table)[1:], last=Role.DELIVER)
        host = self.router.route([receive.id], _named(stages.HOST_WRITE), self.within_netdev)
        if host is None:
            raise self.none(f"no call chain leads from {receive.name} to a system or library call")
        steps.add(host[1:], last=Role.HOST)
        back = self.branch(nic_part[:-1], stages.GUEST_WRITE, innermost=True)
        steps.add(back, last=Role.COMPLETE)
        steps.add(self.interrupt(nic_part[:-1]), last=Role.INTERRUPT)
        name = host[-1][1].name
        return self.path(Direction.TX, steps, Boundary(stages.HOST_WRITE[name], name))

    def rx(self) -> Path:
        """Host to guest."""
        part, boundary = self.host_read()
        steps = _Steps()
        for trail, role in part:
            steps.add(trail, last=role)
        sender = part[-1][0][-1][1]
        receive, table = self.receiver(self.nic.tables)
        steps.add(self.deliver(sender, receive, table)[1:], last=Role.DELIVER)
        into = self.router.route([receive.id], _named(stages.ENQUEUE), self.within_nic)
        body: Trail = [(None, receive)] if into is None else into
        if into is not None:
            steps.add(into[1:], last=Role.ENQUEUE)
        steps.add(self.interrupt(body[:-1] or body), last=Role.INTERRUPT)
        return self.path(Direction.RX, steps, boundary)

    def path(self, direction: Direction, steps: _Steps, boundary: Boundary) -> Path:
        return Path(self.name, self.netdev, "qemu", direction, tuple(steps.steps), boundary)

    def doorbells(self) -> list[int]:
        """Where the guest's write enters: the virtio queue's notifier, or the NIC's register writes."""
        if any("virtio" in name for name in self.nic.types):
            return [function.id for function in self.index.function(stages.VIRTIO_KICK)]
        found = [
            int(value)
            for _, _, field, what, value, file, _ in self.index.tables("MemoryRegionOps", ("write",))
            if what == "function" and file in self.nic.files
        ]
        if not found:
            raise self.none(f"{self.nic.files[0]} has no MemoryRegionOps with a write callback")
        return found

    def receiver(self, tables: Iterable[ClientTable]) -> tuple[FunctionRow, ClientTable]:
        """What takes a frame: net/net.c calls `receive_iov` where there is one, else `receive`."""
        for field in ("receive_iov", "receive"):
            for table in tables:
                if field in table.callbacks:
                    return table.callbacks[field][0], table
        raise self.none("the peer has no receive callback")

    def deliver(self, sender: FunctionRow, receive: FunctionRow, table: ClientTable) -> Trail:
        """From the send function through the queue to the peer: `peer->info->receive*` is pruned to one."""
        inside = {"net/net.c", "net/queue.c"}

        def allowed(edge: Edge) -> bool:
            if edge.field.startswith("NetClientInfo."):
                return edge.callee == receive.id
            target = self.router.function(edge.callee)
            return target.file in inside or target.id == receive.id

        trail = self.router.route([sender.id], lambda function: function.id == receive.id, allowed)
        if trail is None:
            raise self.none(f"no call chain leads from {sender.name} to {receive.name}")
        return trail

    def host_read(self) -> tuple[list[tuple[Trail, Role | None]], Boundary]:
        """How a frame comes in: an fd handler that reads and sends, or a library that calls back."""
        senders = _named(stages.SEND)
        best: tuple[Trail, Trail] | None = None
        for start in self.handlers():
            send = self.router.route([start], senders, self.within_netdev)
            read = self.router.route([start], _named(stages.HOST_READ), self.within_netdev)
            if send and read and (best is None or len(send) + len(read) < len(best[0]) + len(best[1])):
                best = (send, read)
        if best:
            send, read = best
            name = read[-1][1].name
            registered = self.entered(send[0][1])
            parts: list[tuple[Trail, Role | None]] = [(registered, None), (read[1:], Role.HOST)]
            return [*parts, (send[1:], Role.SEND)], Boundary(stages.HOST_READ[name], name)
        return self.library_read()

    def library_read(self) -> tuple[list[tuple[Trail, Role | None]], Boundary]:
        """A library that is polled and calls a function of its callback table for each frame."""
        for _, _, field, what, value, file, line in self.all_callbacks():
            if what != "function" or file not in self.netdev_files:
                continue
            send = self.router.route([int(value)], _named(stages.SEND), self.within_netdev)
            poll = self.library_poll()
            if send is None or poll is None:
                continue
            callback = send[0][1]
            why = f"{field} of the callback table that the library was given"
            edge = Edge(
                poll[-1][1].id, callback.id, file, line, "table", "library", field, ((file, line, why),)
            )
            name = poll[-1][1].name
            parts: list[tuple[Trail, Role | None]] = [(poll, None), ([(edge, callback)], Role.HOST)]
            return [*parts, (send[1:], Role.SEND)], Boundary("library", name)
        raise self.none("no fd handler or library callback leads to qemu_send_packet*")

    def all_callbacks(self) -> list[tuple[str, str, str, str, str, str, int]]:
        rows = []
        for file in self.netdev_files:
            for variable, row, struct, field, what, value, line in self.index.tables_in(file):
                if struct not in ("NetClientInfo", ""):
                    rows.append((variable, row, f"{struct}.{field}", what, value, file, line))
        return rows

    def library_poll(self) -> Trail | None:
        starts = self.handlers("Notifier.notify")
        trail = self.router.route(starts, _named(stages.HOST_READ), self.within_netdev)
        return [*self.entered(trail[0][1]), *trail[1:]] if trail else None

    def handlers(self, *fields: str) -> list[int]:
        """Functions of the netdev's files that the main loop calls."""
        wanted = fields or ("AioHandler.io_read", "IOHandlerRecord.fd_read")
        found = [
            int(value)
            for field, what, value, _, _ in self.index.registrations_in(self.netdev_files)
            if field in wanted and what == "function"
        ]
        return list(dict.fromkeys(found))

    def entered(self, function: FunctionRow) -> Trail:
        """`function` as a first step that the main loop calls, with its registration as evidence."""
        for field, what, value, file, line in self.index.registrations_in(self.netdev_files):
            if what == "function" and value == str(function.id) and field in _LOOP_FIELDS:
                why = f"{field} is set: the main loop calls it"
                edge = Edge(0, function.id, file, line, "async", "main loop", field, ((file, line, why),))
                return [(edge, function)]
        return [(None, function)]

    def branch(self, trail: Trail, names: tuple[str, ...], innermost: bool = False) -> Trail:
        """A side step from a function on `trail` to one of `names`; empty if there is none.

        The functions nearest to where the frame is handed on are tried first.
        """
        for name in names:
            for _, function in reversed(trail):
                found = self.router.route([function.id], _named({name}), self.within_nic, limit=6)
                if found:
                    return found[1:]
        return []

    def interrupt(self, trail: Trail) -> Trail:
        for name in stages.INTERRUPT:
            for _, function in reversed(trail):
                found = self.router.route([function.id], _named({name}), self.within_bus, limit=16)
                if found:
                    return found[1:]
        return []

    def forward(self, edge: Edge) -> bool:
        """On the NIC's side: its own files, the virtio core, and inline functions."""
        target = self.router.function(edge.callee)
        return target.name in stages.SEND or self._own(target, self.nic.files)

    def within_nic(self, edge: Edge) -> bool:
        target = self.router.function(edge.callee)
        known = {*stages.DEQUEUE, *stages.ENQUEUE, *stages.GUEST_WRITE}
        return target.name in known or self._own(target, self.nic.files)

    def within_bus(self, edge: Edge) -> bool:
        target = self.router.function(edge.callee)
        bus = target.file.startswith(("hw/virtio/", "hw/pci/"))
        return target.name in stages.INTERRUPT or bus or self._own(target, self.nic.files)

    def within_netdev(self, edge: Edge) -> bool:
        target = self.router.function(edge.callee)
        ends = target.name in stages.HOST_WRITE or target.name in stages.HOST_READ
        own = target.file in self.netdev_files or target.file.startswith("include/")
        return ends or target.name in stages.SEND or own

    def _own(self, target: FunctionRow, files: tuple[str, ...]) -> bool:
        return target.file in files or target.file.startswith(("hw/virtio/virtio", "include/"))

    def none(self, reason: str) -> NoPath:
        return NoPath(f"{self.name} on {self.netdev}: {reason}", hint="qtrace show --unresolved may say why")


_LOOP_FIELDS = ("AioHandler.io_read", "IOHandlerRecord.fd_read", "Notifier.notify")


class _Steps:
    """Collects steps; the last of each piece carries its stage."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def add(self, trail: Trail, last: Role | None) -> None:
        for number, (edge, function) in enumerate(trail, 1):
            self.steps.append(_step(edge, function, last if number == len(trail) else None))

    def splice(self, trail: Trail, side: Trail, role: Role) -> None:
        """Add `trail`, and `side` right behind the function that it branches off from."""
        for edge, function in trail:
            self.steps.append(_step(edge, function, None))
            if side and side[0][0] is not None and side[0][0].caller == function.id:
                self.add(side, role)
                side = []
        if side:
            self.add(side, role)


def _step(edge: Edge | None, function: FunctionRow, role: Role | None) -> Step:
    call = None
    if edge is not None:
        evidence = tuple(Evidence(file, line, why) for file, line, why in edge.evidence)
        call = CallSite(edge.file, edge.line, edge.kind, evidence)
    return Step(function.name, function.file, function.line, role, call)


def _named(names: Iterable[str]) -> Callable[[FunctionRow], bool]:
    wanted = frozenset(names)
    return lambda function: function.name in wanted


def _helpers(index: Index, tables: list[ClientTable]) -> set[str]:
    """Files beside a netdev's own that belong to it: `net/tap-linux.c` beside `net/tap.c`."""
    stems = {table.file.removesuffix(".c") for table in tables}
    return {f"{stem}-linux.c" for stem in stems}


def _vhost(index: Index, name: str, nic: Nic, netdev: str, direction: Direction) -> Path:
    """The kernel carries the frames: its own steps, after those of QEMU that set it up."""
    if netdev != "tap" or not any("virtio" in kind for kind in nic.types):
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
