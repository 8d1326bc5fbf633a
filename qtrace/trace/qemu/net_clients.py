"""QEMU's network clients: net/net.c's list, read from its memory through /proc.

The list has facts that no command line has: generated names, hot-plugged cards, the netdev and queue of each
object in memory, and the features that the guest's driver has accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qtrace.errors import TargetError
from qtrace.trace.qemu.memory import Memory
from qtrace.trace.qemu.object_type import type_name
from qtrace.trace.qemu.receiver import Filter, Receiver, read_filters, read_receiver
from qtrace.trace.qemu.rings import Ring, Vector, read_rings, read_vectors
from qtrace.trace.qemu.virtio_queues import VirtioQueues, read_virtio_queues

__all__ = ["NetClient", "line_known", "read_clients"]

_MOST_CLIENTS = 4096
_VIRTIO = "virtio-net"
# Driver -> the field of its descriptor, if it has its own.
_DESCRIPTORS = {
    "tap": "TAPState.fd",
    "l2tpv3": "NetL2TPV3State.fd",
    "socket": "NetSocketState.fd",
    "dgram": "NetDgramState.fd",
}
# Driver -> the pointer to its channel, which holds the descriptor (include/io/channel-socket.h).
_CHANNELS = {"stream": "NetStreamState.ioc", "passt": "NetPasstState.ioc"}
_CHANNEL = "QIOChannelSocket.fd"
# Driver -> the pointer to the library's object that is passed in calls of the library.
_LIBRARIES = {"user": "SlirpState.slirp", "vde": "VDEState.vde"}
# A virtio device's transport -> the line by which it interrupts (include/hw/virtio/virtio-mmio.h).
_LINES = {"virtio-mmio": "VirtIOMMIOProxy.irq"}
_ANY_TRANSPORT = "virtio-net-device"


@dataclass(frozen=True, slots=True)
class NetClient:
    """One `NetClientState`.

    `driver` is `nic` or the back end's (`tap`, `user`, …), `model` the device's type for a NIC; `queue` is
    its number within the device. `objects` are the addresses that stand for it in the arguments of QEMU's
    functions: its own, its library's or its vhost device's and, for queue 0, its device's and its line's.
    `queued` frames wait in its NetQueue, of `most_queued` (0: not known); `filters` are those on it that are
    on, `receiver` how a NIC stands.

    `virtqueues` (received, sent), the `features` and `offloads` that the guest's driver has accepted, and the
    `mtu` that it was told (0: none) are None for a device that is not virtio. `vhost`: the kernel carries the
    frames (for a NIC), or could (for a back end). `descriptor` is -1 without one, `hub` is -1 except for a
    hub's port. `header_bytes` precede each frame. `rings` and `vectors` are those of the whole card, on queue
    0; `virtio` is the set-up of a virtio card's queues, None if it is unknown.
    """

    address: int
    name: str
    driver: str
    model: str
    queue: int
    peer: int
    link_down: bool
    receive_disabled: bool
    queued: int
    header_bytes: int
    objects: tuple[int, ...]
    virtqueues: tuple[int, int] | None = None
    features: int | None = None
    offloads: int | None = None
    mtu: int | None = None
    vhost: bool = False
    descriptor: int = -1
    hub: int = -1
    most_queued: int = 0
    filters: tuple[Filter, ...] = ()
    receiver: Receiver | None = None
    rings: tuple[Ring, ...] = ()
    vectors: tuple[Vector, ...] = ()
    virtio: VirtioQueues | None = None


def line_known(model: str) -> bool:
    """Whether the line by which a NIC of this type interrupts is among its `objects`."""
    return model == _ANY_TRANSPORT


def read_clients(
    memory: Memory, head: int, layout: Mapping[str, int], drivers: Mapping[int, str]
) -> list[NetClient]:
    """Every client, in QEMU's order.

    `head` is the address of `net_clients` in the process; `layout` has the offsets of `layout.CLIENTS` that
    the index has, `drivers` the names of `NetClientDriver`. Raises TargetError if the memory does not hold
    such a list, for example because QEMU changes it during the read.
    """
    reader = _Reader(memory, layout, drivers)
    found: dict[int, NetClient] = {}
    at = memory.word(head)
    while at:
        if at in found or len(found) >= _MOST_CLIENTS:
            raise TargetError(f"there is no list of network clients at {head:#x}")
        found[at] = reader.client(at)
        at = reader.word(at, "NetClientState.next")
    if any(client.peer and client.peer not in found for client in found.values()):
        raise TargetError(f"the list of network clients at {head:#x} lacks a peer")
    return list(found.values())


class _Reader:
    def __init__(self, memory: Memory, layout: Mapping[str, int], drivers: Mapping[int, str]) -> None:
        self.memory = memory
        self.layout = layout
        self.drivers = drivers

    def at(self, field: str) -> int:
        if field not in self.layout:
            raise TargetError(f"the source index has no offset of {field}")
        return self.layout[field]

    def word(self, address: int, field: str) -> int:
        return self.memory.word(address + self.at(field))

    def number(self, address: int, field: str, size: int = 4) -> int:
        return self.memory.number(address + self.at(field), size)

    def descriptor(self, address: int, field: str) -> int:
        """A descriptor, -1 if there is none."""
        number = self.number(address, field)
        return number if number < 2**31 else -1

    def client(self, at: int) -> NetClient:
        info = self.word(at, "NetClientState.info")
        driver = self.drivers.get(self.number(info, "NetClientInfo.type"))
        if driver is None:
            raise TargetError(f"no network client is at {at:#x}")
        waiting = self.word(at, "NetClientState.incoming_queue")
        client = NetClient(
            at,
            self.memory.text(self.word(at, "NetClientState.name")),
            driver,
            self.memory.text(self.word(at, "NetClientState.model")),
            self.number(at, "NetClientState.queue_index"),
            self.word(at, "NetClientState.peer"),
            bool(self.number(at, "NetClientState.link_down")),
            bool(self.number(at, "NetClientState.receive_disabled") & 1),  # a bit field
            self.number(waiting, "NetQueue.nq_count") if waiting else 0,
            self.number(at, "NetClientState.vnet_hdr_len"),
            (at,),
            filters=read_filters(self.memory, at, self.layout),
        )
        if waiting and "NetQueue.nq_maxlen" in self.layout:
            client = replace(client, most_queued=self.number(waiting, "NetQueue.nq_maxlen"))
        if driver == "nic":
            # net/net.c, qemu_get_nic: the NICState directly precedes the first of its clients.
            size = self.memory.word(info + self.at("NetClientInfo.size"))
            return self.nic(client, at - client.queue * self.at("sizeof(NetClientState)") - size)
        return self.back_end(client)

    def nic(self, client: NetClient, state: int) -> NetClient:
        card = self.word(state, "NICState.opaque")
        receiver = read_receiver(self.memory, client.model, card, client.queue, self.layout)
        client = replace(client, receiver=receiver)
        objects = [card]
        inside = self.layout.get("DeviceState.mem_reentrancy_guard")  # missing in some releases of 7.2
        if inside is not None and (guard := self.word(state, "NICState.reentrancy_guard")):
            objects.append(guard - inside)
        if not client.model.startswith(_VIRTIO):
            if client.queue == 0:
                client = replace(
                    client,
                    rings=read_rings(self.memory, client.model, card, self.layout),
                    vectors=read_vectors(self.memory, client.model, card, self.layout),
                )
            return _with(client, objects if client.queue == 0 else [])
        pair = self.word(card, "VirtIONet.vqs") + client.queue * self.at("sizeof(VirtIONetQueue)")
        # The proxy, an argument of msix_notify: the device whose bus the virtio device is on.
        if bus := self.word(card, "DeviceState.parent_bus"):
            proxy = self.word(bus, "BusState.parent")
            field = _LINES.get(type_name(self.memory, proxy, self.layout), "")
            objects += [proxy, *([self.word(proxy, field)] if field in self.layout else [])]
        virtqueues = self.word(pair, "VirtIONetQueue.rx_vq"), self.word(pair, "VirtIONetQueue.tx_vq")
        return replace(
            _with(client, [*(objects if client.queue == 0 else []), pair]),
            virtqueues=virtqueues,
            virtio=read_virtio_queues(self.memory, card, virtqueues, self.layout),
            features=self.memory.word(card + self.at("VirtIODevice.guest_features")),
            offloads=self.memory.word(card + self.at("VirtIONet.curr_guest_offloads")),
            mtu=self.number(card + self.at("VirtIONet.net_conf"), "virtio_net_conf.mtu", 2),
            vhost=bool(self.number(card, "VirtIONet.vhost_started", 1)),
        )

    def back_end(self, client: NetClient) -> NetClient:
        if client.driver == "hubport":
            hub = self.word(client.address, "NetHubPort.hub")
            client = replace(client, hub=self.number(hub, "NetHub.id"))
        field = _DESCRIPTORS.get(client.driver, "")
        if field in self.layout:
            client = replace(client, descriptor=self.descriptor(client.address, field))
        field = _CHANNELS.get(client.driver, "")
        if field in self.layout and _CHANNEL in self.layout and (at := self.word(client.address, field)):
            client = replace(client, descriptor=self.descriptor(at, _CHANNEL))
        field = _LIBRARIES.get(client.driver, "")
        if field in self.layout:
            client = _with(client, [self.word(client.address, field)])
        if client.driver == "tap" and "TAPState.vhost_net" in self.layout:
            vhost = self.word(client.address, "TAPState.vhost_net")
            inside = self.layout.get("vhost_net.dev")
            device = vhost + inside if vhost and inside is not None else 0
            client = _with(replace(client, vhost=bool(vhost)), [device])
        return client


def _with(client: NetClient, objects: list[int]) -> NetClient:
    known = (item for item in (*client.objects, *objects) if item)
    return replace(client, objects=tuple(dict.fromkeys(known)))
