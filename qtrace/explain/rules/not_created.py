"""A NIC of -nic or -net nic that the machine does not make."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "wrong"
WORD = Tree("net/net.c", "was not created")


def look(seen: Seen) -> Iterator[Finding]:
    for request in seen.network.requested:
        if not request.made:
            about = str(request.opts.option) if request.form else "the default NIC"
            yield Finding(about, "this machine makes no such NIC: the guest will not have it")
