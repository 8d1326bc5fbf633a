"""The network that a line makes: NICs, back ends, hub ports, and the filters on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qtrace.explain.opts import Opts
from qtrace.explain.words import Option

__all__ = ["Client", "Filter", "Network", "Requested"]


@dataclass(slots=True)
class Client:
    """A NIC, a back end or a hub's port. `form` is the option that made it, empty for QEMU's default."""

    name: str
    kind: str  # nic, netdev, port
    type: str
    form: str
    opts: Opts | None
    values: dict[str, Any] = field(default_factory=dict)
    queues: int = 1
    peer: Client | None = None
    hub: int | None = None
    mac: str = ""
    generated: bool = False
    settings: dict[str, str] = field(default_factory=dict)  # value -> the -global that sets it
    bus: str = ""  # its PCI bus, if known
    address: str = ""  # SLOT.FUNCTION on that bus, if known

    @property
    def option(self) -> Option | None:
        """The option that asked for it; None for QEMU's default."""
        return self.opts.option if self.opts and self.form else None


@dataclass(slots=True)
class Requested:
    """A NIC that -nic or -net nic requests from the machine: `nd_table` of net/net.c."""

    model: str | None
    mac: str
    peer: Client
    opts: Opts
    form: str
    made: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """An -object that filters the frames of a back end (net/filter.c), or compares the frames of two."""

    name: str
    type: str
    netdev: Client | None
    values: dict[str, Any]
    option: Option


@dataclass(slots=True)
class Network:
    """The whole network. `hubs`: number -> ports, in their order."""

    clients: list[Client] = field(default_factory=list)
    hubs: dict[int, list[Client]] = field(default_factory=dict)
    requested: list[Requested] = field(default_factory=list)
    others: list[Opts] = field(default_factory=list)  # each -device that is not a NIC
    unknown: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    dialect: str = ""  # the vendor whose program wrote the line
    vendors: list[str] = field(default_factory=list)  # options that only this vendor's QEMU has

    @property
    def nics(self) -> list[Client]:
        """The NICs, in QEMU's order."""
        return [client for client in self.clients if client.kind == "nic"]

    @property
    def netdevs(self) -> list[Client]:
        """The back ends, in QEMU's order."""
        return [client for client in self.clients if client.kind == "netdev"]

    def find(self, name: str) -> Client | None:
        """The back end or port of that name (`qemu_find_netdev`)."""
        return next((item for item in self.clients if item.kind != "nic" and item.name == name), None)
