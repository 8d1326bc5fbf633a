"""The back end of each NIC of a running QEMU: the paths that `qtrace record` measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtrace.errors import RefusedLine, TargetError
from qtrace.explain.clients import Client, Network
from qtrace.explain.explanation import Reader, carried_by_kernel, vhost_asked

__all__ = ["Attached", "accelerator_of", "attached_nics"]


@dataclass(frozen=True, slots=True)
class Attached:
    """A NIC and its back end. `id` is the back end's, or the hub's if a hub stands between.

    `netdev` is the name for `walk`: `socket-stream` for a socket that is known to carry a stream.
    `vhost_asked`: its line asks for vhost, whether or not the kernel can carry this NIC's frames.
    """

    nic: str
    netdev: str
    id: str
    vhost: bool = False
    hub: bool = False
    vhost_asked: bool = False

    @property
    def driver(self) -> str:
        """The kind of the back end's client in QEMU: for a bridge it is tap."""
        return {"bridge": "tap", "socket-stream": "socket"}.get(self.netdev, self.netdev)

    @property
    def datapath(self) -> str:
        """The datapath, as named in a cell."""
        return "vhost-net" if self.vhost else "qemu"


def attached_nics(reader: Reader, argv: Sequence[str]) -> list[Attached]:
    """Every NIC with a back end, in the guest's order. Raises TargetError for a line that QEMU would
    refuse."""
    try:
        _, _, network = reader.network(argv, lenient=True)
    except RefusedLine as exc:
        release = reader.index.meta["qemu"]
        raise TargetError(
            f"as QEMU {release} reads its command line, it could not run: {exc}",
            hint="--index chooses another release's index",
        ) from exc
    return [found for nic in network.nics for found in _of(network, nic)]


def _of(network: Network, nic: Client) -> list[Attached]:
    peer = nic.peer
    if peer is None:
        return []
    if peer.kind == "netdev":
        name = "" if peer.generated else peer.name
        vhost = carried_by_kernel(nic, peer)
        return [Attached(nic.type, peer.type, name, vhost, vhost_asked=vhost_asked(peer))]
    others = [port.peer for port in network.hubs[peer.hub or 0] if port.peer is not None]
    return [
        Attached(nic.type, other.type, f"hub{peer.hub}", hub=True, vhost_asked=vhost_asked(other))
        for other in others
        if other.kind == "netdev"
    ]


def accelerator_of(argv: Sequence[str]) -> str:
    """The accelerator that the line asks for: `kvm` or `tcg`."""
    for word, value in zip(argv, [*argv[1:], ""], strict=True):
        name = word.lstrip("-")
        if name == "enable-kvm":
            return "kvm"
        if name == "accel":
            return value.split(",")[0]
        if name in ("machine", "M") and "accel=" in value:
            return value.partition("accel=")[2].split(",")[0].split(":")[0]
    return "tcg"
