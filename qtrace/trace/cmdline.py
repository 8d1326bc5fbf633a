"""A QEMU command line -> which NIC is on which netdev (net/net.c: -netdev, -device, -nic, -net).

The line is data from another process: what cannot be understood is left out, nothing is executed.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Attached", "accelerator_of", "attached_nics"]

# hw/i386/pc.c: what -nic and -net nic stand for where no model is named.
_DEFAULT_MODEL = "e1000"
# net/net.c: `virtio` is an alias that only -nic and -net know.
_MODEL_ALIASES = {"virtio": "virtio-net-pci", "virtio-net": "virtio-net-pci"}


@dataclass(frozen=True, slots=True)
class Attached:
    """A NIC and its netdev as QEMU was told to make them. `hub` is whether a hub stands between."""

    nic: str
    netdev: str
    id: str
    vhost: bool = False
    hub: bool = False

    @property
    def datapath(self) -> str:
        """As a cell names it."""
        return "vhost-net" if self.vhost else "qemu"


def attached_nics(argv: Sequence[str]) -> list[Attached]:
    """Every NIC with a netdev, in the order of the line; QEMU's default where nothing is said of either."""
    netdevs: dict[str, tuple[str, bool]] = {}
    devices: list[tuple[str, str]] = []
    found: list[Attached] = []
    hub_nics: list[str] = []
    hub_netdevs: list[tuple[str, bool]] = []
    said = False
    for option, value in _options(argv):
        first, keys = _parse(value, "driver" if option == "device" else "type")
        if option == "netdev":
            netdevs[keys.get("id", "")] = first, _vhost(keys)
        elif option == "device" and "netdev" in keys:
            devices.append((first, keys["netdev"]))
        elif option == "nic":
            said = True
            if first != "none":
                model = keys.get("model", _DEFAULT_MODEL)
                name = _MODEL_ALIASES.get(model, model)
                found.append(Attached(name, first, keys.get("id", ""), _vhost(keys)))
        elif option == "net":
            said = True
            if first == "nic":
                model = keys.get("model", _DEFAULT_MODEL)
                hub_nics.append(_MODEL_ALIASES.get(model, model))
            elif first != "none":
                hub_netdevs.append((first, _vhost(keys)))
    for driver, name in devices:
        if name in netdevs:
            found.append(Attached(driver, netdevs[name][0], name, netdevs[name][1]))
    for model in hub_nics:
        found += [Attached(model, kind, "hub0", vhost, hub=True) for kind, vhost in hub_netdevs]
    if not (said or netdevs or "-nodefaults" in argv):
        found.append(Attached(_DEFAULT_MODEL, "user", "default"))
    return found


def accelerator_of(argv: Sequence[str]) -> str:
    """`kvm` or `tcg`, as the line asks for it."""
    for word, value in zip(argv, [*argv[1:], ""], strict=True):
        name = word.lstrip("-")
        if name == "enable-kvm":
            return "kvm"
        if name == "accel":
            return value.split(",")[0]
        if name in ("machine", "M") and "accel=" in value:
            return value.partition("accel=")[2].split(",")[0].split(":")[0]
    return "tcg"


def _options(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word, value in itertools.pairwise(argv):
        name = word.removeprefix("-").removeprefix("-")
        if word.startswith("-") and name in ("netdev", "device", "nic", "net"):
            yield name, value


def _parse(value: str, first_key: str) -> tuple[str, dict[str, str]]:
    """(what stands first, key -> value) of `tap,id=n0,fd=3`, or of the same as JSON."""
    keys: dict[str, str] = {}
    if value.startswith("{"):
        try:
            data = json.loads(value)
        except ValueError:
            data = {}
        if isinstance(data, dict):
            keys = {str(key): str(item) for key, item in data.items()}
        return keys.get(first_key, ""), keys
    first = ""
    # A comma inside a value is written twice.
    for number, part in enumerate(value.replace(",,", "\0").split(",")):
        name, equals, content = part.replace("\0", ",").partition("=")
        if number == 0 and not equals:
            first = name
        else:
            keys[name] = content if equals else "on"
    return first or keys.get(first_key, ""), keys


def _vhost(keys: dict[str, str]) -> bool:
    """Whether a tap is asked to use vhost-net (net/tap.c: net_init_tap_one)."""
    if "vhost" in keys:
        return _on(keys["vhost"])
    return "vhostfd" in keys or "vhostfds" in keys or _on(keys.get("vhostforce", ""))


def _on(text: str) -> bool:
    return text.lower() in ("on", "yes", "true", "y")
