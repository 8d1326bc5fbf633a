"""A hub that -net makes between NICs and back ends."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "dear"
WORD = Tree("net/hub.c", "net_hub_receive_iov(")


def look(seen: Seen) -> Iterator[Finding]:
    for number, ports in seen.network.hubs.items():
        members = [port.peer for port in ports if port.peer]
        if not any(peer.form == "-net" for peer in members):
            continue
        if len(members) > 2:
            yield Finding(
                f"hub {number}",
                f"every -net is put on this one hub: its {len(members)} members all see each other's frames, "
                "and none of them has offloads or vhost; use -netdev with -device to pair them",
            )
        else:
            yield Finding(
                f"hub {number}",
                "-net makes a hub between NIC and back end: it costs the offloads and vhost; -nic makes none",
            )
