"""A NIC of a failover pair whose other half is missing."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "wrong"
WORD = Tree("hw/net/virtio-net.c", "failover_pair_id")


def look(seen: Seen) -> Iterator[Finding]:
    standby = {nic.name for nic in seen.network.nics if seen.on(nic, "failover")}
    devices = [client.opts for client in seen.network.nics if client.form == "-device" and client.opts]
    primary = [(opts, opts.get("failover_pair_id")) for opts in (*devices, *seen.network.others)]
    for opts, pair in primary:
        if pair is None:
            continue
        if standby and not opts.id:
            yield Finding(str(opts.option), "a device with failover_pair_id= needs an id=: QEMU ends")
        elif pair not in standby:
            yield Finding(
                opts.id or str(opts.option),
                f"failover_pair_id={pair}: no NIC of that id has failover=on, so nothing replaces it",
                severity="note",
            )
    for name in sorted(standby - {pair for _, pair in primary if pair}):
        yield Finding(
            name,
            f"failover=on, but no device has failover_pair_id={name}: it may be plugged in later",
            severity="note",
        )
