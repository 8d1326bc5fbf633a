"""The owners of hits: the pairs of network clients of a process, numbered, with their objects' addresses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from qtrace.probes.common import OWNERS
from qtrace.trace.qemu.net_clients import NetClient

__all__ = ["Owner", "Owners", "through_hubs"]

_NIC, _PORT = "nic", "hubport"


@dataclass(frozen=True, slots=True)
class Owner:
    """A NIC's queue and its back end's, or a hub's port and the client on its other side.

    `nic` is the device's type and `card` the client's name; both are empty between a hub and its back end.
    `netdev` is the back end's name, `driver` its kind, `hubport` if a hub follows.
    """

    number: int
    nic: str
    card: str
    netdev: str
    driver: str
    queue: int
    clients: tuple[NetClient, ...]

    @property
    def objects(self) -> tuple[int, ...]:
        """Addresses that stand for it in arguments of QEMU's functions."""
        rings = (ring for client in self.clients for ring in client.virtqueues or ())
        return (*(item for client in self.clients for item in client.objects), *rings)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The back end's own descriptor, if it has one."""
        return tuple(client.descriptor for client in self.clients if client.descriptor >= 0)

    @property
    def hub(self) -> int:
        """The hub of which one side is a port, -1 without."""
        return max(client.hub for client in self.clients)

    @property
    def vhost(self) -> bool:
        """Whether its back end has a vhost device, with its own worker in the kernel."""
        return any(client.vhost for client in self.clients if client.driver != _NIC)

    def __str__(self) -> str:
        left = self.card or "hub"
        return f"{left} on {self.netdev}" + (f", queue {self.queue}" if self.queue else "")


class Owners:
    """All owners seen so far; an owner keeps its number."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Owner] = {}
        self.given = 0  # the highest number
        self.beyond = 0  # pairs without a number, because all were taken

    def __iter__(self) -> Iterator[Owner]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def update(self, clients: Iterable[NetClient]) -> bool:
        """Take in the process's present clients; whether anything changed. Removed clients are forgotten."""
        by_address = {client.address: client for client in clients}
        pairs: dict[tuple[int, int], tuple[NetClient, NetClient]] = {}
        for client in by_address.values():
            peer = by_address.get(client.peer)
            if peer is not None:
                first, second = _ordered(client, peer)
                pairs[first.address, second.address] = (first, second)
        before = dict(self._known)
        self._known = {key: owner for key, owner in self._known.items() if key in pairs}
        self.beyond = 0
        for key, pair in pairs.items():
            if key in self._known:
                number = self._known[key].number
            elif self.given + 1 < OWNERS:
                self.given += 1
                number = self.given
            else:
                self.beyond += 1
                continue
            self._known[key] = _owner(number, *pair)
        return self._known != before


def through_hubs(owners: Iterable[Owner]) -> Mapping[int, Owner]:
    """Number -> NIC and back end as one owner, with the NIC's number, for both owners at a hub that joins
    exactly two clients. A frame that enters such a hub leaves it on the other side, on the same thread
    (net/hub.c). At a hub with more ports it leaves on all others, so there is no single path to a last
    stage."""
    hubs: dict[int, list[Owner]] = defaultdict(list)
    for owner in owners:
        hubs[owner.hub].append(owner)
    found: dict[int, Owner] = {}
    for number, joined in hubs.items():
        nics = [owner for owner in joined if owner.nic]
        behind = [owner for owner in joined if not owner.nic and owner.driver != _PORT]
        if number >= 0 and len(joined) == 2 and nics and behind:
            found |= dict.fromkeys((nics[0].number, behind[0].number), _as_one(nics[0], behind[0]))
    return found


def _as_one(near: Owner, far: Owner) -> Owner:
    """One owner without the ports: a frame that waits at a port waits for the client behind the other
    port."""
    nic, port = near.clients
    other, end = far.clients
    clients = (
        replace(nic, queued=nic.queued + other.queued, link_down=nic.link_down or other.link_down),
        replace(end, queued=end.queued + port.queued, link_down=end.link_down or port.link_down),
    )
    return replace(near, driver=far.driver, clients=clients)


def _ordered(one: NetClient, other: NetClient) -> tuple[NetClient, NetClient]:
    """The guest's side first: a NIC, then a hub's port."""
    ranks = {_NIC: 0, _PORT: 1}
    return (one, other) if ranks.get(one.driver, 2) <= ranks.get(other.driver, 2) else (other, one)


def _owner(number: int, near: NetClient, far: NetClient) -> Owner:
    is_nic = near.driver == _NIC
    return Owner(
        number,
        near.model if is_nic else "",
        near.name if is_nic else "",
        far.name,
        far.driver,
        far.queue or near.queue,
        (near, far),
    )
