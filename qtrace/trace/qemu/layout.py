"""The offsets in QEMU's structs that the BPF programs read, from the source index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qtrace.errors import TraceError
from qtrace.trace.qemu.rings import LAYOUT as RINGS
from qtrace.trace.qemu.virtio_queues import LAYOUT as VIRTIO

__all__ = ["CLIENTS", "FIELDS", "Layout"]

# Field of the BPF struct `target` -> its name in the index.
FIELDS = {
    "client_info": "NetClientState.info",
    "info_type": "NetClientInfo.type",
    "queue_device": "VirtQueue.vdev",
    "queue_index": "VirtQueue.queue_index",
    "queue_kick": "VirtQueue.host_notifier",
    "device_id": "VirtIODevice.device_id",
    "element_out": "VirtQueueElement.out_num",
    "element_in": "VirtQueueElement.in_num",
    "device_queues": "VirtIODevice.vq",
    "queue_enabled": "VirtQueue.host_notifier_enabled",
    "queue_size": "sizeof(VirtQueue)",
    "driver_nic": "NET_CLIENT_DRIVER_NIC",
    "driver_port": "NET_CLIENT_DRIVER_HUBPORT",
}

# Read by `qtrace.trace.qemu.net_clients`: fields, and the sizes of structs in arrays.
CLIENTS = (
    *(f"NetClientState.{field}" for field in ("info", "next", "peer", "incoming_queue", "model", "name")),
    *(
        f"NetClientState.{field}"
        for field in ("link_down", "receive_disabled", "queue_index", "vnet_hdr_len")
    ),
    *("NetClientInfo.type", "NetClientInfo.size", "NetQueue.nq_count", "NetQueue.nq_maxlen"),
    *("NICState.opaque", "NICState.reentrancy_guard", "DeviceState.mem_reentrancy_guard"),
    *("DeviceState.parent_bus", "BusState.parent", "VirtIODevice.guest_features"),
    *("VirtIONet.vqs", "VirtIONet.curr_guest_offloads", "VirtIONet.vhost_started"),
    *("VirtIONet.net_conf", "virtio_net_conf.mtu", "VirtIOMMIOProxy.irq"),
    *("VirtIONetQueue.rx_vq", "VirtIONetQueue.tx_vq"),
    *(
        "TAPState.fd",
        "TAPState.vhost_net",
        "vhost_net.dev",
        "NetL2TPV3State.fd",
        "NetSocketState.fd",
        "NetDgramState.fd",
    ),
    *("NetStreamState.ioc", "NetPasstState.ioc", "QIOChannelSocket.fd"),
    *("SlirpState.slirp", "VDEState.vde", "NetHubPort.hub", "NetHub.id"),
    # Read to find out why a frame stopped (qtrace.trace.qemu.receiver).
    *("NetClientState.filters", "NetFilterState.next", "NetFilterState.on", "NetFilterState.direction"),
    *("Object.class", "ObjectClass.type", "VirtIODevice.vm_running", "VirtIODevice.status"),
    *("VirtIODevice.broken", "VirtIONet.promisc", "VirtIONet.curr_queue_pairs"),
    *("E1000State.mac_reg", "RTL8139State.bChipCmdState", "RTL8139State.RxConfig"),
    *("sizeof(NetClientState)", "sizeof(VirtIONetQueue)"),
    *RINGS,
    *VIRTIO,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Offsets in bytes by `Struct.field`, and the values of two enumerators of NetClientDriver."""

    values: Mapping[str, int]

    def __post_init__(self) -> None:
        for name in FIELDS.values():
            value = self.values.get(name)
            if value is None:
                raise TraceError(
                    f"the source index has no offset of {name}",
                    hint="make the index again with 'qtrace index'",
                )
            if not 0 <= value < 2**16:
                raise TraceError(f"{name} cannot lie at {value}")

    def members(self) -> dict[str, int]:
        """The offsets by field of the BPF struct `target`."""
        return {member: self.values[name] for member, name in FIELDS.items()}
