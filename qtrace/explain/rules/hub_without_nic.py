"""A hub with back ends and no NIC."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.mending import changed
from qtrace.explain.rule import Change, Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "wrong"
WORD = Tree("net/hub.c", "with no nics")


def look(seen: Seen) -> Iterator[Finding]:
    for number, ports in seen.network.hubs.items():
        members = [port.peer for port in ports if port.peer]
        hosts = [peer for peer in members if peer.kind == "netdev"]
        if not hosts or len(hosts) != len(members):
            continue
        own = f": -nic in place of -net takes the machine's own {nic}" if (nic := _own(seen)) else ""
        yield Finding(f"hub {number}", f"no NIC is on this hub{own}", _mend(seen) if own else None)


def _own(seen: Seen) -> str:
    return seen.machine.default_nic if seen.machine.onboard and seen.options("net") else ""


def _mend(seen: Seen) -> Mend | None:
    nets = seen.options("net")
    if len(nets) != 1:
        return None
    (net,) = nets
    gone: tuple[Change, ...] = (Change(net, None),)
    return Mend(gone, ("-nic", changed(net, {}).value or ""))
