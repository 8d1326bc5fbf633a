"""A back end that needs open descriptors from the program that starts QEMU."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.clients import Client
from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("net/tap.c", "monitor_fd_param(")


def look(seen: Seen) -> Iterator[Finding]:
    for client in seen.network.netdevs:
        names = [name for name in ("fd", "fds", "vhostfd", "vhostfds") if name in client.values]
        if not names:
            continue
        yield Finding(
            client.name, f"{', '.join(names)}: the program that starts QEMU must pass this descriptor, open"
        )
        taps = [
            text for name in ("fd", "fds") for text in str(client.values.get(name, "")).split(":") if text
        ]
        if client.type == "tap" and taps:
            yield from _taps(seen, client, [int(text) for text in taps if text.isdigit()])


def _taps(seen: Seen, client: Client, numbers: list[int]) -> Iterator[Finding]:
    unknown = [number for number in numbers if number not in seen.opened]
    for number in numbers:
        if number in seen.opened:
            yield Finding(client.name, f"descriptor {number} is {_kind(seen.opened[number])}")
    if unknown:
        yield Finding(
            client.name,
            f"which tap descriptor {', '.join(map(str, unknown))} is cannot be known from the line: "
            "explain --pid reads it from the process",
        )


def _kind(path: str) -> str:
    if path.startswith("/dev/tap"):
        return (
            f"{path}, a macvtap's: its frames pass the interface below, which does not show them to its host"
        )
    if path == "/dev/net/tun":
        return f"{path}, a tap that the program which opened it has attached to its interface"
    if path.startswith("/dev/net/tun "):
        return f"the tap {path.rpartition(' ')[2]}"
    return f"{path}, which is not a tap: QEMU fails"
