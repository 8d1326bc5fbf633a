"""A tap's send buffer that is smaller than one frame."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree
from qtrace.explain.values import size

SEVERITY: Severity = "dear"
WORD = Tree("net/tap-linux.c", "TUNSETSNDBUF")
_HEADER, _USUAL = 14, 1500


def look(seen: Seen) -> Iterator[Finding]:
    for client in seen.network.netdevs:
        room = size(str(client.values.get("sndbuf", "")))
        if client.type != "tap" or not room:
            continue
        mtu = (seen.number(client.peer, "host_mtu") if client.peer else None) or _USUAL
        if room < mtu + _HEADER:
            yield Finding(
                client.name,
                f"sndbuf={client.values['sndbuf']} is less than one frame of the MTU {mtu}: the kernel "
                "takes one "
                "frame at a time and QEMU waits for each; omit sndbuf=",
                Mend((changed(client.option, {}, ("sndbuf",)),)) if client.option else None,
            )
