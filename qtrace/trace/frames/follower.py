"""Tells the BPF programs the stages along which an owner's frames are followed (probes/frames.bpf.c)."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qtrace.model import Path, Probe, Role
from qtrace.probes import point_for
from qtrace.probes.common import DIRECTIONS, OWNERS, SLOTS, STAGE
from qtrace.probes.frames import CARRIED, GROUP, LANE, Part
from qtrace.trace.frames.followed import Group, group_index
from qtrace.trace.qemu.owners import Owner, through_hubs

__all__ = ["Follower", "Routes"]

_PORT = "hubport"
_NOTICES = (Role.KICK, Role.INTERRUPT)  # one call may stand for many frames
_KERNEL = ("kprobe", "kretprobe")
# Drivers between a NIC and a hub's port, and between another port and the back end behind it.
_AT_NIC = (Role.DEQUEUE, Role.COMPLETE), (Role.DELIVER, Role.ENQUEUE)
_BEHIND = (Role.DELIVER, Role.HOST), (Role.HOST, Role.SEND)


class Routes:
    """The slots that an owner's frames pass, from the planned paths; `probes` and `attached` are by
    slot."""

    def __init__(self, paths: Sequence[Path], probes: Sequence[Probe], attached: Sequence[bool]) -> None:
        self._paths, self._probes = paths, probes
        self._slots = [slot for slot, probe in enumerate(probes) if attached[slot] and _carries(probe)]

    def parts(self, owner: Owner | None) -> dict[int, int]:
        """Slot -> its part, on the only path of this owner's frames in each direction; None is the owner of
        frames whose owner is unknown."""
        found: dict[int, int] = {}
        for way in range(LANE.size):
            slots = self._route(owner, way)
            if len(slots) < 2:
                continue
            found |= dict.fromkeys(slots, Part.TAKES)
            found[slots[0]] |= Part.FIRST
            found[slots[-1]] |= Part.LAST
        return found

    def ends(self, parts: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        """Lane -> slots of the first and of the last stage among `parts`."""
        found: dict[int, tuple[int, int]] = {}
        for slot, part in parts.items():
            if part & Part.FIRST:
                way = _way(self._probes[slot])
                last = next(
                    at for at, bits in parts.items() if bits & Part.LAST and _way(self._probes[at]) == way
                )
                found[way] = slot, last
        return found

    def _route(self, owner: Owner | None, way: int) -> list[int]:
        kernel, direction = LANE.unpack(way)
        paths = [
            path
            for path in self._paths
            if path.direction == DIRECTIONS[direction] and (path.datapath == "vhost-net") == bool(kernel)
        ]
        if owner is not None and len({(path.nic, path.netdev) for path in paths}) > 1:
            paths = [path for path in paths if _is_of(path, owner)]
        roles = None
        if owner is not None and owner.hub >= 0 and _PORT in (client.driver for client in owner.clients):
            roles = (_AT_NIC if owner.nic else _BEHIND)[direction]
        routes = {
            frozenset(step.function for step in path.stages if roles is None or step.stage in roles)
            for path in paths
        }
        if len(routes) != 1:  # the owner's path is ambiguous
            return []
        mine = [
            slot
            for slot in self._slots
            if _way(self._probes[slot]) == way and self._probes[slot].function in next(iter(routes))
        ]
        return sorted(mine, key=lambda slot: self._probes[slot].position)


class Follower:
    """Tells the BPF programs the slots by which an owner's frames are followed, with the first and the last.

    `paths` are the planned paths; `probes` and `attached` are by slot.
    """

    def __init__(
        self, module: Any, paths: Sequence[Path], probes: Sequence[Probe], attached: Sequence[bool]
    ) -> None:
        self._module = module
        self._routes = Routes(paths, probes, attached)
        self._written: dict[int, dict[int, int]] = {}
        self._aliases: dict[int, int] = {}
        self.ends: dict[Group, tuple[int, int]] = {}  # slots of the first and of the last stage
        self.left: dict[Group, int] = {}  # frames under way when counting paused
        places = module[b"places"]
        for slot, probe in enumerate(probes):
            place = places[ctypes.c_int(slot)]
            place.kernel = int(probe.kind in _KERNEL)
            places[ctypes.c_int(slot)] = place

    def update(self, owners: Iterable[Owner]) -> None:
        """Write changes to the maps; owner 0 stands for all unknown owners."""
        known = list(owners)
        joined = through_hubs(known)
        aliases = {number: owner.number for number, owner in joined.items() if owner.number != number}
        parts = {0: self._routes.parts(None)}
        for owner in known:
            if owner.number not in aliases:
                parts[owner.number] = self._routes.parts(joined.get(owner.number, owner))
        if aliases != self._aliases:
            followed_as = self._module[b"followed_as"]
            for number in range(OWNERS):
                followed_as[ctypes.c_int(number)] = followed_as.Leaf(aliases.get(number, 0))
        self._aliases = aliases
        table = self._module[b"frame_parts"]
        for number in parts.keys() | self._written.keys():
            slots = parts.get(number, {})
            if self._written.get(number) != slots:
                for slot in range(SLOTS):
                    table[ctypes.c_int(STAGE.pack(number, slot))] = table.Leaf(slots.get(slot, 0))
        self._written = parts
        self.ends = {
            (number, way): ends
            for number, slots in parts.items()
            for way, ends in self._routes.ends(slots).items()
        }

    def begin(self) -> None:
        """Start a window, with all programs off: no frame is under way."""
        self.left = {}
        self._clear()
        self._module[b"frame_stops"].clear()

    def resume(self) -> None:
        """Resume counting after a pause: frames that were under way before are unmatched."""
        waiting = self._module[b"frames_waiting"]
        for number in {0, *self._written}:
            for way in range(LANE.size):
                if still := int(waiting[group_index((number, way))].number):
                    self._leave((number, way), still)
        for key, frame in self._module[b"frames_now"].items():
            if frame.open:
                _, group = CARRIED.unpack(key.value)
                owner, way = GROUP.unpack(group)
                self._leave((owner, way), int(frame.number))
        self._clear()

    def _leave(self, group: Group, frames: int) -> None:
        self.left[group] = self.left.get(group, 0) + frames

    def _clear(self) -> None:
        self._module[b"frames_now"].clear()
        self._module[b"frames_turn"].clear()
        waiting = self._module[b"frames_waiting"]
        for index in range(len(waiting)):
            waiting[ctypes.c_int(index)] = waiting.Leaf()


def _is_of(path: Path, owner: Owner) -> bool:
    # A bridge helper's netdev is a tap; a stream has its own path among the sockets.
    kind = "tap" if path.netdev == "bridge" else path.netdev.partition(".")[0].removesuffix("-stream")
    if owner.driver == _PORT:  # the client behind the hub does not matter
        return path.nic == owner.nic
    return (path.nic, kind) == (owner.nic or path.nic, owner.driver)


def _way(probe: Probe) -> int:
    return LANE.pack(probe.kind in _KERNEL, DIRECTIONS.index(probe.direction))


def _carries(probe: Probe) -> bool:
    """Whether a hit tells how many frames it carries."""
    if probe.stage in _NOTICES:
        return False
    if probe.kind == "tracepoint":
        return probe.rule == "tap"  # a socket's system call may carry a piece of a stream
    point = point_for(probe.function, probe.kind)
    return probe.rule not in ("calls", "either") or bool(point and point.table)
