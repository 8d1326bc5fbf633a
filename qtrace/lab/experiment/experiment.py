"""An experiment from its script: the lab, the transcript, the packet at every place, all in one folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qtrace.errors import LabError
from qtrace.lab.experiment.capture import Place, open_capture, places_of
from qtrace.lab.experiment.hops import Hop, count_matching, find_hops, without_header, write_hops
from qtrace.lab.experiment.lab_script import Probe, Script
from qtrace.lab.experiment.transcript import Entry, run_steps, write_transcript
from qtrace.lab.guest.clock import clock_fault, read_clock
from qtrace.lab.mode.live_lab import Lab, open_lab
from qtrace.lab.mode.mode import load_mode
from qtrace.progress import SILENT, Progress

__all__ = ["CAPTURING", "Recorded", "capture_mode", "capture_packet", "perform", "record_transcript"]

CAPTURING = ("tcpdump",)  # what a guest needs for a capture
_COUNTED = 10  # echo requests that are counted at every place


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an experiment left: the transcript, the packet's hops, and the counts (see `capture_packet`)."""

    entries: list[Entry]
    hops: list[Hop]
    counts: dict[str, int]


def perform(script: Script, folder: Path, nic: str = "", progress: Progress = SILENT) -> Recorded:
    """Carry a script out in a lab of its own; transcript and captures are written to `folder`. Raises
    LabError."""
    folder.mkdir(parents=True, exist_ok=True)
    mode = load_mode(script.mode)
    programs = tuple(dict.fromkeys((*script.programs, *CAPTURING)))
    with open_lab(mode, nic, max(script.guests, mode.least), progress, programs=programs) as lab:
        lab.wait_until_up()
        with _hold_clocks(lab):
            hops, counts = capture_packet(lab, script.probe, folder, progress)
        entries = run_steps(lab, script.steps, progress)
        write_transcript(folder, head_of(lab, script.name), entries)
    return Recorded(entries, hops, counts)


def record_transcript(
    script: Script, folder: Path, nic: str = "", progress: Progress = SILENT
) -> list[Entry]:
    """Only the transcript. Raises LabError."""
    folder.mkdir(parents=True, exist_ok=True)
    mode = load_mode(script.mode)
    with open_lab(mode, nic, max(script.guests, mode.least), progress, programs=script.programs) as lab:
        lab.wait_until_up()
        entries = run_steps(lab, script.steps, progress)
        write_transcript(folder, head_of(lab, script.name), entries)
    return entries


def capture_mode(
    mode_name: str, folder: Path, nic: str = "", own: tuple[str, str] = ("", ""), progress: Progress = SILENT
) -> dict[str, int]:
    """One packet of a mode at every place, in a lab of its own; `own` is a command for vm1 and the marker
    of its packet.

    Without, vm1 asks port 7 of whom it can reach. The counts are those of `capture_packet`. Raises LabError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mode = load_mode(mode_name)
    guests = mode.most if mode.reach.get("host") is None else 1
    with open_lab(mode, nic, max(min(guests, 2), mode.least), progress, programs=CAPTURING) as lab:
        lab.wait_until_up()
        line, marker = own
        if not line:
            marker = "hello-from-vm1"
            line = f"echo {marker} | nc -w 2 {_neighbour(lab, 'vm1')} 7"
        return capture_packet(lab, Probe("vm1", line, marker), folder, progress)[1]


def capture_packet(
    lab: Lab, probe: Probe, folder: Path, progress: Progress = SILENT, places: Sequence[Place] | None = None
) -> tuple[list[Hop], dict[str, int]]:
    """Send `probe` once in a lab that is up, and find its packet at every place.

    Then a known number of echo requests is sent to the guest's first neighbour, and counted at every
    place; the counts are by place, and at `sent`. Raises LabError.
    """
    sender = lab.guests[probe.on]
    command = lab.fill(probe.run)
    progress.step(f"capturing while {probe.on} runs: {command}")
    with open_capture(lab, folder, places or places_of(lab)) as capture:
        status, said = sender.try_sh(command, 30)
        if status != 0:
            raise LabError(f"the probe {command!r} ended with status {status}: {said.strip()[-300:]}")
        target = _neighbour(lab, probe.on)
        sender.sh(f"ping -q -c {_COUNTED} -i 0.1 -W 2 {target}", 60)
    hops = find_hops(capture, probe.on, probe.marker.encode())
    sent = bytes.fromhex(hops[0].data)
    counts = {"sent": _COUNTED}
    for place, kept in capture.files.items():
        file, _ = without_header(place, kept, sent)
        expression = f"icmp[icmptype] == icmp-echo and src host {lab.addresses[probe.on]}"
        counts[place.name] = count_matching(file, expression)
    head = head_of(lab, lab.mode.name) | {"probe": command, "said": said.strip(), "counts": counts}
    write_hops(folder, head, hops)
    return hops, counts


@contextlib.contextmanager
def _hold_clocks(lab: Lab) -> Iterator[None]:
    """Raise LabError after the block if a guest's clock is wrong: every time that it says would be."""
    before = {name: read_clock(guest.sh) for name, guest in lab.guests.items()}
    yield
    for name, guest in lab.guests.items():
        if fault := clock_fault(before[name], read_clock(guest.sh)):
            raise LabError(f"{name}: {fault}; run it again on a host that is less busy")


def _neighbour(lab: Lab, sender: str) -> str:
    """Whom the sender can surely reach: the host where the mode says so, else the other guest."""
    others = [address for name, address in lab.addresses.items() if name != sender]
    number = int(sender.removeprefix("vm"))
    if host := lab.mode.reach.get("host"):
        return lab.fill(str(host), number)
    if not others:
        raise LabError(f"the mode {lab.mode.name} gives {sender} nobody to reach")
    return others[0]


def head_of(lab: Lab, script: str) -> dict[str, Any]:
    """Of which lab a transcript or a capture is: nothing in it is of the machine outside of the lab."""
    return {
        "script": script,
        "mode": lab.mode.name,
        "nic": lab.nic,
        "guests": dict(lab.addresses),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "kernel": next(iter(lab.guests.values())).release,
        "netdev": [lab.fill(item, 1) for item in lab.mode.seat(1).netdev],
    }
