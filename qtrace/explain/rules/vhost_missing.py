"""vhost=on on a host without /dev/vhost-net."""

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
            f"{_NODE} does not exist on this host: {_what_follows(seen, client)}; modprobe vhost_net brings "
            "it, or "
            "omit vhost=on",
            Mend((changed(client.option, {}, ("vhost", "vhostforce")),)) if client.option else None,
            severity="note" if seen.network.dialect else None,  # such a line was started on another host
        )


def _asked(seen: Seen, client: Client) -> bool:
    """Whether vhost is on by the rules of net_init_tap_one: a given vhost= decides."""
    said = seen.on(client, "vhost")
    return bool(seen.on(client, "vhostforce") if said is None else said)


def _what_follows(seen: Seen, client: Client) -> str:
    """The consequence in this release, from its functions: a release that only warns still loses the back
    end."""
    warns = _WARNS in seen.source("net/tap.c") and not seen.on(client, "vhostforce")
    if warns and _ASSERTS in seen.source("net/net.c"):
        return "this release warns and then aborts with a failed assertion (net_client_init1)"
    return "QEMU refuses the line"
