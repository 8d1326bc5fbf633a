"""A forwarded port that listens on every address of the host."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.backends import split_forward
from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("net/slirp.c", "slirp_hostfwd(")
_ANY = ("", "0.0.0.0")


def look(seen: Seen) -> Iterator[Finding]:
    for client in seen.network.netdevs:
        for rule in client.values.get("hostfwd", ()) if client.type == "user" else ():
            protocol, host, port, guest, inner = split_forward(str(rule))
            if host in _ANY:
                at_home = f"{protocol}:127.0.0.1:{port}-{guest}:{inner}"
                yield Finding(
                    client.name,
                    f"hostfwd={rule}: whoever reaches the host can use it, by every address that the host "
                    "has; "
                    f"hostfwd={at_home} keeps it at home",
                )
