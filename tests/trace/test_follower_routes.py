"""Which stages an owner's frames are followed by: from the planned paths and the owner alone."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from counted import client, owner, pair, probe
from hypothesis import given
from hypothesis import strategies as st

from qtrace.model import STAGE_ORDER, Boundary, Direction, Path, Probe, Role, Step
from qtrace.probes.common import DIRECTIONS
from qtrace.probes.frames import Part
from qtrace.trace.frames.follower import Routes
from qtrace.trace.qemu.owners import Owner

NOTICES = {Role.KICK, Role.INTERRUPT}  # one may stand for many frames
TX, RX = DIRECTIONS.index(Direction.TX), DIRECTIONS.index(Direction.RX)


def function(nic: str, netdev: str, direction: Direction, role: Role) -> str:
    """Both netdevs share what the NIC does, both NICs what the netdev does."""
    near = role in (Role.KICK, Role.DEQUEUE, Role.COMPLETE, Role.ENQUEUE, Role.INTERRUPT)
    return f"{nic if near else netdev}_{role}_{direction}"


def path(nic: str, netdev: str, direction: Direction, datapath: str = "qemu") -> Path:
    prefix = "" if datapath == "qemu" else "vhost_"
    steps = [
        Step(prefix + function(nic, netdev, direction, role), "a.c", 1, role)
        for role in STAGE_ORDER[direction]
    ]
    return Path(nic, netdev, datapath, direction, tuple(steps), Boundary("syscall", "writev"))


def planned(paths: Iterable[Path]) -> list[Probe]:
    """A probe for each stage, each function of a direction once."""
    found: dict[tuple[str, Direction], Probe] = {}
    for each in paths:
        kind = "uprobe" if each.datapath == "qemu" else "kprobe"
        for position, step in enumerate(each.stages):
            made = probe(each.direction, step.stage, step.function, position, kind)
            found.setdefault((step.function, each.direction), made)
    return list(found.values())


def both(*pairs: tuple[str, str]) -> list[Path]:
    return [path(nic, netdev, direction) for nic, netdev in pairs for direction in Direction]


def routes(paths: list[Path], missing: Iterable[int] = ()) -> tuple[Routes, list[Probe]]:
    probes = planned(paths)
    return Routes(paths, probes, [slot not in set(missing) for slot in range(len(probes))]), probes


def an_owner(nic: str = "e1000", driver: str = "tap") -> Owner:
    near, far = pair(1, 2, driver, model=nic)
    return owner(near, far)


@given(st.sets(st.integers(0, 11)))
def test_a_route_begins_and_ends_once_and_goes_by_what_is_attached(missing: set[int]) -> None:
    found, probes = routes(both(("e1000", "tap")), missing)
    parts = found.parts(an_owner())
    assert not missing & parts.keys()
    for way, direction in enumerate(DIRECTIONS):
        mine = [slot for slot in parts if probes[slot].direction is direction]
        told = [
            slot
            for slot, item in enumerate(probes)
            if item.direction is direction and item.stage not in NOTICES and slot not in missing
        ]
        if len(told) < 2:
            assert not mine and way not in found.ends(parts)
            continue
        assert sorted(mine) == told
        assert all(parts[slot] & Part.TAKES for slot in mine)
        ends = found.ends(parts)[way]
        order = sorted(mine, key=lambda slot: probes[slot].position)
        assert ends == (order[0], order[-1])
        assert [slot for slot in mine if parts[slot] & Part.FIRST] == [order[0]]
        assert [slot for slot in mine if parts[slot] & Part.LAST] == [order[-1]]


def test_a_hit_that_tells_no_frames_is_not_followed() -> None:
    paths = both(("e1000", "tap"))
    probes = [
        probe(
            p.direction, p.stage, p.function, p.position, rule="calls" if p.stage is Role.SEND else "buffer"
        )
        for p in planned(paths)
    ]
    parts = Routes(paths, probes, [True] * len(probes)).parts(an_owner())
    assert parts and Role.SEND not in {probes[slot].stage for slot in parts}


@pytest.mark.parametrize(("rule", "followed"), [("tap", True), ("socket", False)])
def test_a_system_call_carries_whole_frames_only_on_a_tap(rule: str, followed: bool) -> None:
    paths = both(("e1000", "tap"))
    probes = [
        probe(p.direction, p.stage, p.function, p.position, "tracepoint" if host else "uprobe", rule=kept)
        for p in planned(paths)
        for host in [p.stage is Role.HOST]
        for kept in [rule if host else "buffer"]
    ]
    parts = Routes(paths, probes, [True] * len(probes)).parts(an_owner())
    assert (Role.HOST in {probes[slot].stage for slot in parts}) == followed


def test_two_cards_each_go_their_own_way() -> None:
    found, probes = routes(both(("e1000", "tap"), ("rtl8139", "user")))
    for nic, driver in (("e1000", "tap"), ("rtl8139", "user")):
        names = {probes[slot].function for slot in found.parts(an_owner(nic, driver))}
        assert names == {
            function(nic, driver, direction, role)
            for direction in Direction
            for role in STAGE_ORDER[direction]
            if role not in NOTICES
        }


def test_where_ways_differ_nobodys_frames_are_followed() -> None:
    found, _ = routes(both(("e1000", "tap"), ("rtl8139", "user")))
    assert found.parts(None) == {}
    assert found.parts(an_owner("pcnet", "vde")) == {}  # of no planned path
    alone, _ = routes(both(("e1000", "tap")))
    assert alone.parts(None) == alone.parts(an_owner())


def test_a_bridge_is_a_tap_and_a_stream_a_socket() -> None:
    found, probes = routes(both(("e1000", "bridge"), ("rtl8139", "socket-stream")))
    for nic, driver, netdev in (("e1000", "tap", "bridge"), ("rtl8139", "socket", "socket-stream")):
        names = {probes[slot].function for slot in found.parts(an_owner(nic, driver))}
        assert function(nic, netdev, Direction.TX, Role.SEND) in names


def test_the_kernels_frames_have_a_way_of_their_own() -> None:
    paths = both(("virtio-net-pci", "tap")) + [
        path("virtio-net-pci", "tap", direction, "vhost-net") for direction in Direction
    ]
    found, probes = routes(paths)
    ends = found.ends(found.parts(None))
    assert ends.keys() == {TX, RX, TX + 2, RX + 2}
    for way, (first, last) in ends.items():
        assert {probes[slot].kind for slot in (first, last)} == {"kprobe" if way & 2 else "uprobe"}


def test_at_a_hub_the_card_and_what_is_behind_are_followed_apart() -> None:
    found, probes = routes(both(("e1000", "tap")))
    near = owner(client(1, "nic", 2), client(2, "hubport", 1, hub=0))
    behind = owner(client(3, "hubport", 4, hub=0), client(4, "tap", 3))

    def stages(mine: Owner, direction: Direction) -> set[Role | None]:
        parts = found.parts(mine)
        return {probes[slot].stage for slot in parts if probes[slot].direction is direction}

    assert stages(near, Direction.TX) == {Role.DEQUEUE, Role.COMPLETE}
    assert stages(near, Direction.RX) == {Role.DELIVER, Role.ENQUEUE}
    assert stages(behind, Direction.TX) == {Role.DELIVER, Role.HOST}
    assert stages(behind, Direction.RX) == {Role.HOST, Role.SEND}
