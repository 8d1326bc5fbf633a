"""Who owns a hit: network clients are paired, numbered once and joined through hubs."""

from __future__ import annotations

from itertools import permutations

from counted import client, pair
from hypothesis import given
from hypothesis import strategies as st

from qtrace.probes.common import OWNERS
from qtrace.trace.qemu.net_clients import NetClient
from qtrace.trace.qemu.owners import Owner, Owners, through_hubs


def known(owners: Owners) -> dict[str, int]:
    return {str(owner): owner.number for owner in owners}


def on_a_hub(hub: int = 0, nics: int = 1, backs: int = 1) -> list[NetClient]:
    """NICs and taps, each with a port of its own on one hub."""
    found = []
    for at in range(100, 100 + 10 * (nics + backs), 10):
        end = client(at, "nic" if at < 100 + 10 * nics else "tap", at + 1, queued=at % 7)
        found += [end, client(at + 1, "hubport", at, hub=hub, queued=1)]
    return found


@given(st.permutations([*pair(1, 2), *pair(3, 4), *pair(5, 6, "user")]))
def test_the_order_of_the_list_does_not_matter(clients: list[NetClient]) -> None:
    owners = Owners()
    assert owners.update(clients)
    assert {owner.clients for owner in owners} == {pair(1, 2), pair(3, 4), pair(5, 6, "user")}
    assert sorted(owner.number for owner in owners) == [1, 2, 3]
    assert not owners.update(list(reversed(clients)))  # nothing has changed


def test_a_number_once_given_stays_and_is_given_to_nobody_else() -> None:
    owners = Owners()
    owners.update([*pair(1, 2), *pair(3, 4)])
    before = known(owners)
    assert owners.update([*pair(3, 4)])  # one was unplugged
    assert known(owners) == {"nic3 on tap4": before["nic3 on tap4"]}
    assert owners.update([*pair(3, 4), *pair(7, 8)])
    assert known(owners)["nic3 on tap4"] == before["nic3 on tap4"]
    assert known(owners)["nic7 on tap8"] == 3
    assert owners.given == 3


@given(st.integers(0, 2 * OWNERS))
def test_pairs_beyond_the_last_number_are_counted(number: int) -> None:
    owners = Owners()
    owners.update(item for at in range(number) for item in pair(2 * at + 1, 2 * at + 2))
    assert len(owners) + owners.beyond == number
    assert len(owners) == min(number, OWNERS - 1)
    assert sorted(owner.number for owner in owners) == [*range(1, len(owners) + 1)]


def test_a_client_without_a_peer_owns_nothing() -> None:
    owners = Owners()
    assert not owners.update([client(1, "nic"), client(2, "tap")])
    assert not owners.update([client(1, "nic", peer=9)])


def test_the_guests_side_comes_first_and_names_the_owner() -> None:
    owners = Owners()
    owners.update(reversed(pair(9, 2, model="virtio-net-pci", virtqueues=(70, 71))))
    (owner,) = owners
    assert (owner.nic, owner.card, owner.netdev, owner.driver) == ("virtio-net-pci", "nic9", "tap2", "tap")
    assert owner.objects == (9, 2, 70, 71)
    assert owner.descriptors == () and owner.hub == -1 and not owner.vhost


def test_a_hub_with_two_ports_joins_the_nic_and_the_back_end() -> None:
    for clients in permutations(on_a_hub()):
        owners = Owners()
        owners.update(clients)
        nic = next(owner for owner in owners if owner.nic)
        behind = next(owner for owner in owners if not owner.nic)
        joined = through_hubs(owners)
        assert joined.keys() == {nic.number, behind.number}
        assert joined[nic.number] == joined[behind.number]
        one = joined[nic.number]
        assert (one.number, one.nic, one.driver) == (nic.number, "e1000", "tap")
        waiting = sum(item.queued for item in clients)
        assert sum(item.queued for item in one.clients) == waiting  # none is forgotten on the way


@given(st.integers(0, 3), st.integers(0, 3))
def test_a_hub_with_other_ports_joins_nobody(nics: int, backs: int) -> None:
    owners = Owners()
    owners.update(on_a_hub(nics=nics, backs=backs))
    joined: dict[int, Owner] = dict(through_hubs(owners))
    assert bool(joined) == ((nics, backs) == (1, 1))


def test_hubs_are_kept_apart() -> None:
    far = [
        client(item.address + 1000, item.driver, item.peer + 1000, hub=1 if item.hub >= 0 else -1)
        for item in on_a_hub()
    ]
    owners = Owners()
    owners.update([*on_a_hub(), *far])
    joined = through_hubs(owners)
    assert len(joined) == 4
    assert len({owner.number for owner in joined.values()}) == 2
