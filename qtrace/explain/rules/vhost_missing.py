"""vhost=on where this host has no /dev/vhost-net."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.clients import Client
from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "wrong"
WORD = Tree("net/tap.c", "tap: open vhost char device failed")
_NODE = "/dev/vhost-net"
_WARNS = 'warn_report("tap: open vhost char device failed'
_ASSERTS = "assert(nc)"


def look(seen: Seen) -> Iterator[Finding]:
    for client in seen.network.netdevs:
        handed = {"vhostfd", "vhostfds"} & client.values.keys()
        if client.type != "tap" or not _asked(seen, client) or handed or seen.host.exists(_NODE):
            continue
        yield Finding(
            client.name,
            f"{_NODE} is not there on this host: {_what_follows(seen, client)}; modprobe vhost_net brings "
            "it, or "
            "leave vhost=on out",
            Mend((changed(client.option, {}, ("vhost", "vhostforce")),)) if client.option else None,
            severity="note" if seen.network.dialect else None,  # it was started on another host
        )


def _asked(seen: Seen, client: Client) -> bool:
    """As net_init_tap_one has it: vhost= decides, where it is given."""
    said = seen.on(client, "vhost")
    return bool(seen.on(client, "vhostforce") if said is None else said)


def _what_follows(seen: Seen, client: Client) -> str:
    """By this release's own functions: one that only warns has taken the back end away all the same."""
    warns = _WARNS in seen.source("net/tap.c") and not seen.on(client, "vhostforce")
    if warns and _ASSERTS in seen.source("net/net.c"):
        return "this release warns and then aborts with a failed assertion (net_client_init1)"
    return "QEMU refuses the line"
