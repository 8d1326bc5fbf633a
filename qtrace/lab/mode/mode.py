"""A connection mode as data: one TOML file in modes/, which people read and copy from.

`world.toml` declares the surroundings that all modes share. In every text `{n}` stands for a guest's number,
`{mac}` for its NIC's address, `{lab}` for the lab's folder and `{user}` for QEMU's user.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from importlib import resources
from typing import Any

from qtrace.errors import LabError

__all__ = [
    "CELLS",
    "SPACES",
    "Device",
    "Forward",
    "Mode",
    "Nat",
    "Program",
    "Seat",
    "load_mode",
    "load_modes",
    "world",
]

CELLS = ("vm_to_host", "host_to_vm", "vm_to_vm", "vm_to_net", "net_to_vm")
# The namespaces of every lab.
SPACES = ("host", "lan", "router", "internet")


@dataclass(frozen=True, slots=True)
class Device:
    """A network device of one namespace.

    `kind` is `bridge`, `tap`, `macvtap` (on `over`), or `veth`, whose `peer` is `namespace:name`. `master` is
    the bridge of which it is a port (`peer_master` its peer's). A bridge that `takes` another device makes it
    a port and takes over its address and default route. A device with `{n}` in its name exists once for each
    guest.
    """

    space: str
    name: str
    kind: str
    address: str = ""
    gateway: str = ""
    master: str = ""
    peer: str = ""
    peer_master: str = ""
    peer_address: str = ""
    takes: str = ""
    over: str = ""


@dataclass(frozen=True, slots=True)
class Nat:
    """Packets that leave `space` by `out` get the address of `out`; the namespace forwards packets."""

    space: str
    out: str


@dataclass(frozen=True, slots=True)
class Forward:
    """`port` of `space`, TCP and UDP, is rewritten to `to` (address:port) by netfilter."""

    space: str
    port: int
    to: str


@dataclass(frozen=True, slots=True)
class Program:
    """A program beside QEMU, run as QEMU's user, or as `root`, in `space` until the lab ends.

    It is ready once `ready` (a path) exists, or once it accepts connections at `ready` (`unix:PATH`). With
    `{n}` in its name it runs once for each guest.
    """

    name: str
    run: str
    ready: str
    space: str = "host"
    root: bool = False
    tap: bool = False


@dataclass(frozen=True, slots=True)
class Seat:
    """One guest's place: `netdev` are QEMU's arguments after each `-netdev`, and `id=net0` is the NIC's.

    The guest gives itself `address` (CIDR, or `dhcp`) and `gateway`. `private` are shell lines that root runs
    in QEMU's own mount namespace before QEMU starts, `redirect` the shell's redirections. `spawns`: QEMU
    itself runs a set-uid program.
    """

    netdev: tuple[str, ...]
    address: str
    gateway: str = ""
    private: tuple[str, ...] = ()
    redirect: str = ""
    spawns: bool = False
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mode:
    """`picture` is one line; `tries` are commands to try, as text; `needs` are paths that must exist; `kvm`:
    QEMU crashes without KVM.

    `reach` has the addresses of the other machines (see `ask`), `expect` the claim of QEMU's documentation
    for each of `CELLS`, `source` the place of the claim. A guest beyond the last seat gets a seat like the
    last one, up to `most`.
    """

    name: str
    title: str
    picture: str
    about: str
    seats: tuple[Seat, ...]
    most: int
    least: int = 1
    devices: tuple[Device, ...] = ()
    nats: tuple[Nat, ...] = ()
    forwards: tuple[Forward, ...] = ()
    programs: tuple[Program, ...] = ()
    tries: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    kvm: bool = False
    nic: str = "virtio-net-pci"
    expect: dict[str, str] = field(default_factory=dict)
    source: str = ""
    reach: dict[str, Any] = field(default_factory=dict)

    def seat(self, number: int) -> Seat:
        """The seat of guest `number`, which counts from 1."""
        return self.seats[min(number, len(self.seats)) - 1]


def load_modes() -> list[Mode]:
    """Every mode, in the order that their files give."""
    found = []
    for path in resources.files("qtrace.lab.mode").joinpath("modes").iterdir():
        name = path.name.removesuffix(".toml")
        if path.name.endswith(".toml") and name != "world":
            raw = tomllib.loads(path.read_text())
            found.append((int(raw.pop("order")), _mode(name, raw)))
    return [mode for _, mode in sorted(found, key=lambda item: (item[0], item[1].name))]


def load_mode(name: str) -> Mode:
    """The mode with this name. Raises LabError, with the names of all modes."""
    modes = {mode.name: mode for mode in load_modes()}
    if name not in modes:
        raise LabError(f"there is no mode {name!r}", hint=f"the modes are: {', '.join(modes)}")
    return modes[name]


def world() -> tuple[tuple[Device, ...], tuple[Nat, ...]]:
    """The surroundings of every mode: the host's uplink, a neighbour on its LAN, a router, a server."""
    raw = tomllib.loads(resources.files("qtrace.lab.mode").joinpath("modes/world.toml").read_text())
    return _each(Device, raw["device"], "world"), _each(Nat, raw["nat"], "world")


def _mode(name: str, raw: dict[str, Any]) -> Mode:
    """Check a mode file's content and make a `Mode`. Raises LabError for content that is not allowed."""
    kinds: dict[str, Any] = {
        "device": ("devices", Device),
        "nat": ("nats", Nat),
        "forward": ("forwards", Forward),
        "program": ("programs", Program),
        "guest": ("seats", Seat),
    }
    known = {item.name for item in fields(Mode)}
    made: dict[str, Any] = {"name": name}
    for key, value in raw.items():
        if key in kinds:
            target, kind = kinds[key]
            made[target] = _each(kind, value, name)
        elif key in known:
            made[key] = tuple(value) if isinstance(value, list) else value
        else:
            raise LabError(f"mode {name}: there is no key {key!r}")
    try:
        mode = Mode(**made)
    except TypeError as exc:
        raise LabError(f"mode {name}: {exc}") from exc
    if unknown := set(mode.expect) - set(CELLS):
        raise LabError(f"mode {name}: there is no cell {', '.join(sorted(unknown))}")
    rows: list[Any] = [*mode.devices, *mode.nats, *mode.forwards, *mode.programs]
    spaces = {item.space for item in rows}
    if unknown := spaces - set(SPACES):
        raise LabError(f"mode {name}: there is no namespace {', '.join(sorted(unknown))}")
    return mode


def _each(kind: Any, rows: list[dict[str, Any]], name: str) -> tuple[Any, ...]:
    try:
        return tuple(
            kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})
            for row in rows
        )
    except TypeError as exc:
        raise LabError(f"mode {name}: {exc}") from exc
