"""The rights that a back end needs on the host, by the system calls of its init function."""

from __future__ import annotations

from typing import Any

from qtrace.explain.clients import Client
from qtrace.explain.values import number, truth

__all__ = ["privilege"]

_LOW = 1024  # net.ipv4.ip_unprivileged_port_start, Linux's default


def privilege(client: Client) -> list[str]:
    """Rights needed beyond an ordinary user's, in words; empty if none are."""
    values = client.values
    needs = []
    if client.type == "tap":
        needs += _tap(values)
    elif client.type == "bridge":
        needs.append("the bridge helper, set-uid root, and a bridge.conf that allows the bridge")
    elif client.type == "l2tpv3" and not _on(values, "udp"):
        needs.append("CAP_NET_RAW, for a raw IP socket; udp=on does without")
    elif client.type == "vde":
        needs.append("read and write on the switch's socket")
    elif client.type == "vhost-user":
        needs.append("read and write on the chardev's socket, and guest memory that is shared (share=on)")
    elif client.type == "vhost-vdpa" and "vhostdev" in values:
        needs.append(f"read and write on {values['vhostdev']}")
    elif client.type == "netmap":
        needs.append("read and write on /dev/netmap")
    elif client.type == "af-xdp":
        bound = "inhibit" in values and _on(values, "inhibit")
        needs.append(
            "CAP_NET_RAW; the program on the interface is another's"
            if bound
            else "CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF"
        )
    low = sorted(port for port in _ports(client) if 0 < port < _LOW)
    if low:
        needs.append(f"CAP_NET_BIND_SERVICE, for port {', '.join(map(str, low))} of the host")
    return needs


def _tap(values: dict[str, Any]) -> list[str]:
    if "fd" in values or "fds" in values:
        needs = ["no right: the program that starts QEMU opens the tap"]
    elif "helper" in values:
        needs = ["the bridge helper, set-uid root, and a bridge.conf that allows the bridge"]
    elif "ifname" in values:
        needs = [f"CAP_NET_ADMIN, or a tap {values['ifname']} that is the user's own (ip tuntap add … user)"]
    else:
        needs = ["CAP_NET_ADMIN, to make a tap"]
    scripts = [values.get(name) for name in ("script", "downscript")]
    opened = "fd" in values or "fds" in values or "helper" in values
    if not opened and any(name not in ("no", "") for name in scripts):
        needs.append("root for the scripts, which set up interfaces (script=no, downscript=no run none)")
    handed = "vhostfd" in values or "vhostfds" in values
    if _on(values, "vhost") and not handed:
        needs.append("read and write on /dev/vhost-net")
    return needs


def _ports(client: Client) -> list[int]:
    """Ports of the host on which it listens."""
    values = client.values
    found: list[object] = []
    if client.type == "user":
        for rule in values.get("hostfwd", ()):
            text = str(rule.get("str", "")) if isinstance(rule, dict) else str(rule)
            parts = text.split(":")
            found.append(parts[2].partition("-")[0] if len(parts) > 2 else "")
    elif client.type == "socket":
        texts = [str(values[name]) for name in ("listen", "localaddr") if name in values]
        found += [text.rpartition(":")[2] for text in texts if ":" in text]
    elif client.type == "stream" and _on(values, "server"):
        found.append(dict(values.get("addr") or {}).get("port", ""))
    elif client.type == "dgram":
        found.append(dict(values.get("local") or {}).get("port", ""))
    return [port for item in found if (port := number(str(item))) is not None]


def _on(values: dict[str, Any], name: str) -> bool:
    return values.get(name) is True or truth(str(values.get(name, ""))) is True
