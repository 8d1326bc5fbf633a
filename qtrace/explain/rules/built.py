"""A back end that only some builds of QEMU have."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("qapi/net.json", "'discriminator': 'type'")


def look(seen: Seen) -> Iterator[Finding]:
    for client in seen.network.netdevs:
        _, condition = seen.schema.netdevs().get(client.type, ("", ""))
        if condition:
            yield Finding(
                client.name,
                f"{client.type} is there only in a QEMU that was built with it ({condition})",
            )
