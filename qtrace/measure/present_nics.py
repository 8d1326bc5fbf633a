"""The present NICs of a running QEMU: its command line, corrected by the network clients in its memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from qtrace.explain.attached import Attached
from qtrace.probes.syscalls import Descriptor
from qtrace.trace.qemu.net_clients import NetClient
from qtrace.trace.qemu.owners import Owner, Owners

__all__ = ["present_nics"]

_PORT = "hubport"


def present_nics(
    listed: Sequence[Attached], clients: Sequence[NetClient], classes: Mapping[int, int]
) -> list[Attached]:
    """Every NIC with a back end, with the command line's names if it is on the command line.

    `listed` are the command line's; `classes`: descriptor -> its class, which tells streams from datagrams.
    """
    owners = Owners()
    owners.update(clients)
    present = [owner for owner in owners if owner.nic and not owner.queue]
    streams = [
        owner.netdev
        for owner in owners
        if owner.driver == "socket"
        and all(classes.get(fd) != Descriptor.DATAGRAM for fd in owner.descriptors)
    ]
    behind = {f"hub{owner.hub}" for owner in owners if not owner.nic and owner.netdev in streams}
    return [
        replace(nic, netdev="socket-stream")
        if nic.netdev == "socket" and (nic.id in streams or nic.id in behind)
        else nic
        for nic in _present(listed, present)
    ]


def _present(listed: Sequence[Attached], present: Iterable[Owner]) -> list[Attached]:
    """The NICs in memory, with the command line's names if they are from there."""
    left = list(listed)
    found: list[Attached] = []
    for owner in present:
        if owner.driver == _PORT:
            hubs = [nic for nic in left if nic.hub and (nic.id, nic.nic) == (f"hub{owner.hub}", owner.nic)]
            found += hubs
            left = [nic for nic in left if nic not in hubs]
            continue
        # A generated name is on no command line: NICs with generated names are matched by their order.
        known = next((nic for nic in left if not nic.hub and nic.id in (owner.netdev, "")), None)
        if known is None or known.nic != owner.nic:
            known = Attached(owner.nic, owner.driver, owner.netdev, owner.vhost, vhost_asked=owner.vhost)
        else:
            left.remove(known)
        found.append(replace(known, id=owner.netdev))
    return found
