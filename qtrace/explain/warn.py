"""What to know of a network that QEMU would take: `net_check_clients`, and what it does not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from qtrace.explain.clients import Client, Network
from qtrace.explain.manual import Manual
from qtrace.explain.schema import Schema
from qtrace.explain.values import truth

__all__ = ["warnings"]

_INTERFACES = Path("/sys/class/net")
Warning_ = tuple[str, str, str]  # kind, about, words


def warnings(network: Network, schema: Schema, manual: Manual) -> list[dict[str, str]]:
    """Everything that a reader of the line should know, as {kind, about, text}."""
    found = [*_peers(network), *_hubs(network), *_requested(network), *_macs(network)]
    for client in network.netdevs:
        found += [*_tap(client, manual), *_needs(client), *_built(client, schema)]
    found += [*_forms(network), *_deprecated(network, schema)]
    found += _passed(network)
    found += [("unknown", "", f"{item}: unknown to the indexed release") for item in network.unknown]
    found += [("remark", "", item) for item in network.remarks]
    return [{"kind": kind, "about": about, "text": text} for kind, about, text in found]


def _peers(network: Network) -> Iterator[Warning_]:
    for client in network.clients:
        if client.peer is not None:
            continue
        if client.kind == "nic":
            yield (
                "no-peer",
                client.name,
                "this NIC has no netdev: the guest sees it, but its frames go nowhere "
                "(add netdev=ID, and -netdev …,id=ID)",
            )
        elif client.kind == "netdev":
            yield (
                "no-peer",
                client.name,
                "no NIC uses this netdev: the guest does not see it "
                f"(add -device MODEL,netdev={client.name})",
            )
        else:
            yield "no-peer", client.name, f"nothing is plugged into this port of hub {client.hub}"


def _hubs(network: Network) -> Iterator[Warning_]:
    for number, ports in network.hubs.items():
        kinds = [port.peer for port in ports if port.peer]
        nics = [peer for peer in kinds if peer.kind == "nic"]
        hosts = [peer for peer in kinds if peer.kind == "netdev"]
        name = f"hub {number}"
        if hosts and not nics:
            yield "hub-without-nic", name, "no NIC is on this hub"
        if nics and not hosts:
            yield "hub-without-host", name, "nothing on this hub leads out of QEMU"
        by_net = [peer for peer in kinds if peer.form == "-net"]
        if by_net and len(kinds) > 2:
            yield (
                "hub",
                name,
                f"every -net is put on this one hub: its {len(kinds)} members all see each other's frames, "
                "and none of them has offloads or vhost; use -netdev with -device to pair them",
            )
        elif by_net:
            yield (
                "hub",
                name,
                "-net makes a hub between NIC and back end: it costs the offloads and vhost; -nic makes none",
            )


def _requested(network: Network) -> Iterator[Warning_]:
    for request in network.requested:
        if not request.made:
            about = str(request.opts.option) if request.form else "the default NIC"
            yield "not-created", about, "this machine makes no such NIC: the guest will not have it"


def _macs(network: Network) -> Iterator[Warning_]:
    count = Counter(nic.mac for nic in network.nics if nic.mac)
    for nic in network.nics:
        if nic.mac and count[nic.mac] > 1:
            yield "mac-twice", nic.name, f"the MAC address {nic.mac} is given {count[nic.mac]} times"
        elif nic.mac and int(nic.mac[:2], 16) & 1:
            yield "mac-multicast", nic.name, f"{nic.mac} is a multicast address"


def _tap(client: Client, manual: Manual) -> Iterator[Warning_]:
    if client.type not in ("tap", "bridge"):
        return
    values = client.values
    opened = any(name in values for name in ("fd", "fds", "helper")) or client.type == "bridge"
    for name, when in (("script", "at the start"), ("downscript", "at the end")):
        if not opened and name not in values:
            default = manual.default("tap", name)
            yield (
                "script",
                client.name,
                f"{when} QEMU runs {default}, the default of {name}=: as root, and it must be there; "
                f"{name}=no runs nothing",
            )
    interface = str(values.get("ifname", ""))
    if not opened and interface and "%" not in interface and not (_INTERFACES / _safe(interface)).exists():
        yield (
            "ifname",
            client.name,
            f"there is no interface {interface!r} on this host now: QEMU makes it, for which it needs "
            "CAP_NET_ADMIN",
        )
    elif not opened and not interface:
        yield (
            "ifname",
            client.name,
            "QEMU makes a tap of its own and the kernel names it: it needs CAP_NET_ADMIN",
        )
    vhost = truth(str(values.get("vhost", ""))) or values.get("vhost") is True
    if vhost and client.peer is not None and not client.peer.type.startswith("virtio-net"):
        who = "a hub" if client.peer.kind == "port" else client.peer.type
        yield (
            "vhost",
            client.name,
            f"vhost=on has no effect with {who}: the kernel carries frames for a virtio NIC only",
        )


def _safe(name: str) -> str:
    return name.replace("/", "_").replace("\0", "_")[:64] or "_"


def _needs(client: Client) -> Iterator[Warning_]:
    values = client.values
    if client.type == "bridge":
        yield (
            "helper",
            client.name,
            "QEMU runs the bridge helper, which must be set-uid root and allow the bridge in its bridge.conf",
        )
    names = [name for name in ("fd", "fds", "vhostfd", "vhostfds") if name in values]
    if names:
        yield "descriptor", client.name, f"{', '.join(names)}: whoever starts QEMU must hand this over, open"


def _passed(network: Network) -> Iterator[Warning_]:
    for opts in network.others:
        driver = opts.get("driver") or ""
        if driver.startswith("vfio-"):
            yield (
                "passthrough",
                opts.id or driver,
                f"{driver} hands a device of the host to the guest: if that is a NIC, its frames never pass "
                "QEMU's network",
            )


def _built(client: Client, schema: Schema) -> Iterator[Warning_]:
    _, condition = schema.netdevs().get(client.type, ("", ""))
    if condition:
        yield (
            "built",
            client.name,
            f"{client.type} is there only in a QEMU that was built with it ({condition})",
        )


def _forms(network: Network) -> Iterator[Warning_]:
    for client in network.clients:
        for flag in client.opts.flags if client.opts and client.form else ():
            yield (
                "deprecated",
                client.name,
                f"{flag!r} without a value is deprecated: write {flag}=on or =off",
            )


def _deprecated(network: Network, schema: Schema) -> Iterator[Warning_]:
    for client in network.netdevs:
        for item in schema.options_of(client.type):
            old = item.deprecated or item.meaning.lower().startswith("legacy")
            if old and item.name in client.values:
                yield "deprecated", client.name, f"{item.name}= is deprecated: {item.meaning}"
