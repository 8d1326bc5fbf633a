"""A forwarded port whose guest is outside the guest's network."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from qtrace.explain.backends import Given, ipv4_address, ipv4_network, split_forward
from qtrace.explain.clients import Client
from qtrace.explain.mending import changed
from qtrace.explain.rule import Finding, Mend, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("net/slirp.c", "net_slirp_init(")


def look(seen: Seen) -> Iterator[Finding]:
    for client in seen.network.netdevs:
        if client.type != "user" or client.opts is None:
            continue
        network, mask = ipv4_network(Given(client.opts, client.values))
        for rule in client.values.get("hostfwd", ()):
            guest = split_forward(str(rule))[3]
            address = ipv4_address(guest) if guest else None
            if address is None or address & mask == network:
                continue
            yield Finding(
                client.name,
                f"hostfwd={rule}: {guest} lies outside net={_network(network, mask)}: a guest that takes its "
                "address by DHCP is not found there, and one that has it set needs a route back; leave the "
                "address out, or give net= where the guest is",
                _mend(client, address),
            )


def _network(network: int, mask: int) -> str:
    return f"{IPv4Address(network)}/{bin(mask).count('1')}"


def _mend(client: Client, address: int) -> Mend | None:
    """Change the guest's network to the /24 of the address, which belongs to a guest."""
    if client.option is None or {"net", "ip", "host", "dns", "dhcpstart"} & client.values.keys():
        return None
    return Mend((changed(client.option, {"net": f"{IPv4Address(address & 0xFFFFFF00)}/24"}),))
