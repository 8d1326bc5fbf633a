"""Packets at one place of a lab that runs, whoever started it, until somebody has seen enough."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from qtrace.errors import LabError
from qtrace.lab.experiment.capture import Place, listen_in_space
from qtrace.lab.experiment.dump_file import cut_headers, header_before
from qtrace.lab.experiment.hops import count_matching
from qtrace.lab.host.netns import Namespace
from qtrace.lab.mode.login import ask_monitor
from qtrace.lab.mode.running_labs import Entry, labs
from qtrace.lab.mode.topology import mac_of
from qtrace.progress import SILENT, Progress

__all__ = ["capture_place", "find_place", "place_names"]

_NETDEV = "net0"  # of every guest of a lab
_DUMP = "qtrace-dump"


def place_names() -> list[str]:
    """`LAB:MACHINE-DEVICE` of every place of the labs that run: netdevs, and devices of their namespaces."""
    return [f"{entry.name}:{place.name}" for entry in labs() if entry.alive for place in _places(entry)]


def find_place(name: str) -> tuple[Entry, Place]:
    """The lab and the place of a name; `LAB:` may be left out where one lab has such a place. Raises
    LabError."""
    lab, _, wanted = name.rpartition(":")
    running = [entry for entry in labs() if entry.alive]
    every = [(entry, place) for entry in running for place in _places(entry)]
    fitting = [one for one in every if one[1].name == wanted and lab in ("", one[0].name)]
    if len(fitting) == 1:
        return fitting[0]
    if not running:
        raise LabError(
            f"{name!r} is no mode, and no lab runs that could have such a place",
            hint="the modes: qtrace lab list; start one in another terminal: qtrace lab up user",
        )
    have = ", ".join(f"{entry.name}:{place.name}" for entry, place in every)
    which = "several labs have" if fitting else "neither a mode nor a lab that runs has"
    raise LabError(f"{which} a place {name!r}", hint=f"the places are: {have}")


def capture_place(name: str, folder: Path, seconds: float, progress: Progress = SILENT) -> tuple[Path, int]:
    """Capture at a place for so long, or until Ctrl-C or the end of its lab: the pcap file, and its packets.

    Raises LabError, MissingPrerequisite.
    """
    entry, place = find_place(name)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{place.name}.pcap"
    opened = _at_netdev if place.side == "netdev" else _in_space
    with opened(entry, place, target) as ended:
        progress.done(f"listening at {place.name} of the lab {entry.name}; Ctrl-C ends it")
        until = time.monotonic() + seconds
        with contextlib.suppress(KeyboardInterrupt):
            while time.monotonic() < until and not ended():
                time.sleep(0.05)
        if ended():
            progress.warn(f"the lab {entry.name} has ended")
    return target, count_matching(target, "greater 0")


def _places(entry: Entry) -> list[Place]:
    found = [Place("netdev", guest, _NETDEV) for guest in entry.guests]
    for space in entry.machines[len(entry.guests) :]:
        with contextlib.suppress(LabError):  # the mode has none of that name
            rows = json.loads(_space(entry, space).ip("-json", "link"))
            found += [Place("host", space, row["ifname"]) for row in rows]
    return found


def _space(entry: Entry, name: str) -> Namespace:
    return Namespace(f"qt-{entry.name}-{name}")


@contextlib.contextmanager
def _in_space(entry: Entry, place: Place, target: Path) -> Iterator[Callable[[], bool]]:
    with listen_in_space(_space(entry, place.machine), place, target) as helper:
        yield lambda: helper.ended or not entry.home.exists()


@contextlib.contextmanager
def _at_netdev(entry: Entry, place: Place, target: Path) -> Iterator[Callable[[], bool]]:
    """QEMU's filter-dump (net/dump.c) writes into the guest's folder, the only one where it may."""
    kept = entry.home / place.machine / f"{_DUMP}.pcap"
    with _only_one(entry, place), target.open("wb") as wanted:
        # One that somebody left who was killed.
        ask_monitor(entry, place.machine, f"object_del {_DUMP}")
        kept.unlink(missing_ok=True)
        words = f"filter-dump,id={_DUMP},netdev={place.device},file={kept}"
        if said := ask_monitor(entry, place.machine, f"object_add {words}").strip():
            raise LabError(f"QEMU cannot capture at {place.name}: {said}")
        with kept.open("rb") as file:  # it can be read when the lab has removed its folder
            try:
                yield lambda: not entry.home.exists()
            finally:
                with contextlib.suppress(LabError):  # the guest has ended
                    ask_monitor(entry, place.machine, f"object_del {_DUMP}")
                shutil.copyfileobj(file, wanted)
                kept.unlink(missing_ok=True)
    mac = mac_of(int(place.machine.removeprefix("vm")))
    cut_headers(target, header_before(target, mac)).replace(target)


@contextlib.contextmanager
def _only_one(entry: Entry, place: Place) -> Iterator[None]:
    """Hold the place, so that what stands there already is nobody's. Raises LabError if somebody has it."""
    lock = entry.home / place.machine / f"{_DUMP}.lock"
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise LabError(f"somebody captures at {entry.name}:{place.name} already") from exc
        yield
