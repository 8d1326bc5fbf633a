"""The reachability table: each cell measured on live guests, beside the claim of QEMU's documentation."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from qtrace.errors import LabError, MissingPrerequisite, QtraceError
from qtrace.lab.guest.guest import Guest
from qtrace.lab.host.netns import Namespace
from qtrace.lab.machine.venue import inside_machine
from qtrace.lab.mode.live_lab import Lab, open_lab
from qtrace.lab.mode.mode import Mode, world
from qtrace.lab.mode.topology import mac_of
from qtrace.lab.reachability.ask import Answer, Target, ask_from_guest, ask_from_space, echo_requests
from qtrace.lab.reachability.privilege import Privilege, find_privilege
from qtrace.progress import SILENT, Progress

__all__ = ["Cell", "Row", "measure_reach"]

_AT_ONCE = 2  # modes, each with two guests: more would slow each other down
_PATIENCE = {"host": 2, "vm": 5}  # seconds for an answer
YES, NO, FORWARD = "yes", "no", "by forwarding"


@dataclass(frozen=True, slots=True)
class Cell:
    """One direction between two machines. `observed` is `yes`, `no`, `by forwarding` (only through the
    forward), or `partly`.

    `arp` … `udp` are the direct attempts, `forward` the result of the forward (`how`, `tcp`, `udp`), if the
    mode has one.
    """

    expected: str
    observed: str
    arp: bool
    icmp: bool
    tcp: bool
    udp: bool
    how: str
    note: str
    forward: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One mode; `failed` is why it could not be tried, `missing` whether this machine lacks a
    prerequisite."""

    mode: str
    privilege: Privilege | None = None
    cells: dict[str, Cell] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    failed: str = ""
    missing: bool = False


def measure_reach(modes: Sequence[Mode], nic: str = "", progress: Progress = SILENT) -> list[Row]:
    """A row for each mode, two modes at a time. Raises KeyboardInterrupt after everything is removed."""
    running: list[Lab] = []
    ended = threading.Event()

    def one(mode: Mode) -> Row:
        if ended.is_set():
            return Row(mode.name, failed="interrupted")
        progress.step(f"{mode.name}: starting")
        try:
            row = _measure(mode, nic, running, ended)
        except QtraceError as exc:
            hint = f" ({exc.hint})" if exc.hint else ""
            row = Row(mode.name, failed=f"{exc}{hint}", missing=isinstance(exc, MissingPrerequisite))
        if not ended.is_set():
            _tell(row, progress)
        return row

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = [pool.submit(one, mode) for mode in modes]
        try:
            return [future.result() for future in futures]
        except BaseException:
            ended.set()
            for future in futures:
                future.cancel()
            for lab in list(running):  # a thread that waits for a guest then gets an error
                lab.kill()
            raise


def _tell(row: Row, progress: Progress) -> None:
    if row.failed:
        progress.warn(f"{row.mode}: {row.failed}")
        return
    told = ", ".join(f"{name.replace('_', ' ')} {cell.observed}" for name, cell in row.cells.items())
    progress.done(f"{row.mode}: {told}")


def _measure(mode: Mode, nic: str, running: list[Lab], ended: threading.Event) -> Row:
    with open_lab(mode, nic, 2, try_first=True) as lab, _listed(lab, running):
        if ended.is_set():  # before anything was started
            raise LabError("interrupted")
        lab.wait_until_up()
        for number in range(1, len(lab.guests) + 1):
            for command in mode.reach.get("monitor", ()):
                line = {"command-line": lab.fill(command, number)}
                if said := str(lab.guests[f"vm{number}"].qmp("human-monitor-command", **line)).strip():
                    raise LabError(f"{mode.name}: the monitor answers {line['command-line']!r} with: {said}")
        cells = _cells(lab)
        return Row(mode.name, find_privilege(lab), cells, tuple(lab.recorder.lines))


@contextlib.contextmanager
def _listed(lab: Lab, running: list[Lab]) -> Iterator[None]:
    running.append(lab)
    try:
        yield
    finally:
        running.remove(lab)


@dataclass(frozen=True, slots=True)
class _Way:
    """The asker and the answerer. `seen` is the asker's own address, `macs` the answerer's hardware
    addresses."""

    name: str
    asker: str
    answerer: str
    address: str
    seen: str


def _cells(lab: Lab) -> dict[str, Cell]:
    lan = {item.space: item.address.partition("/")[0] for item in world()[0] if item.name == "eth0"}
    vm1, vm2 = lab.addresses["vm1"], lab.addresses["vm2"]
    host = lab.fill(lab.mode.reach.get("host", lan["host"]), 1)
    ways = [
        _Way("vm_to_host", "vm1", "host", host, vm1),
        _Way("host_to_vm", "host", "vm1", vm1, host),
        _Way("vm_to_vm", "vm1", "vm2", vm2, vm1),
        _Way("vm_to_net", "vm1", "lan", lan["lan"], vm1),
        _Way("net_to_vm", "lan", "vm1", vm1, lan["lan"]),
    ]
    patience = _PATIENCE["vm" if inside_machine() else "host"]
    cells = _try(lab, ways, patience)
    # A busy machine may be too slow: a result that differs from the claim is tried again, with a longer wait.
    if doubtful := [way for way in ways if cells[way.name].observed != cells[way.name].expected]:
        first, cells = cells, cells | _try(lab, doubtful, 4 * patience)
        for way in doubtful:
            if (said := first[way.name].observed) != cells[way.name].observed:
                _add_note(cells, way.name, f"a first try of {patience} s said: {said}")
    _add_more(lab, cells, lan, patience)
    return cells


def _try(lab: Lab, ways: Sequence[_Way], seconds: int) -> dict[str, Cell]:
    """Try these directions at once, and then their forwards."""
    reach = lab.mode.reach
    machines: dict[str, Guest | Namespace] = {**lab.guests, **lab.spaces}
    watched = {way.answerer: machines[way.answerer] for way in ways}
    before = {name: echo_requests(machine) for name, machine in watched.items()}
    inside = [way for way in ways if way.asker == "vm1"]
    with ThreadPoolExecutor(4) as pool:
        targets = [Target(way.address) for way in inside]
        guest = pool.submit(ask_from_guest, lab.guests["vm1"], targets, seconds) if targets else None
        outside = {}
        for way in ways:
            if way.asker != "vm1":
                device = reach.get("device", "eth0") if way.asker == "host" else "eth0"
                target = (lab.spaces[way.asker], device, Target(way.address), seconds)
                outside[way.name] = pool.submit(ask_from_space, *target)
        direct = {name: future.result() for name, future in outside.items()}
        if guest:
            direct |= dict(zip([way.name for way in inside], guest.result(), strict=True))
    counted = {name: echo_requests(machine) - before[name] for name, machine in watched.items()}
    cells = {}
    for way in ways:
        forwarded = None
        if way.name in reach:
            forwarded = ask_from_space(lab.spaces[way.asker], "", _target(reach[way.name]), seconds)
        cells[way.name] = _cell(lab, way, direct[way.name], forwarded, counted[way.answerer])
    return cells


def _add_more(lab: Lab, cells: dict[str, Cell], lan: dict[str, str], seconds: int) -> None:
    """Add notes on further attempts: the internet, detours, and the effect of a sysctl."""
    reach, vm1 = lab.mode.reach, lab.guests["vm1"]
    extra = {"internet": Target(lan["internet"])}
    extra |= {key: _target(reach[key]) for key in ("detour", "guestfwd") if key in reach}
    more = dict(zip(extra, ask_from_guest(vm1, list(extra.values()), seconds), strict=True))
    if "sysctl" in reach and not cells["vm_to_net"].icmp:
        lab.spaces["host"].sysctl(*reach["sysctl"].split("=", 1))
        passes = ask_from_guest(vm1, [Target(lan["lan"])], seconds)[0].icmp
        said = "passes" if passes else "does not pass either"
        _add_note(cells, "vm_to_net", f"with {reach['sysctl']} on the host ICMP {said}")
    _add_note(cells, "vm_to_net", _internet(more["internet"]))
    if "detour" in reach and more["detour"].names == {"vm2"}:
        _add_note(cells, "vm_to_vm", f"by way of the host's forward ({reach['detour']}) TCP and UDP arrive")
    if "guestfwd" in reach:
        through = "arrives at" if more["guestfwd"].tcp.startswith("host ") else "does not arrive at"
        _add_note(cells, "vm_to_host", f"TCP by guestfwd ({reach['guestfwd']}) {through} the host")


def _cell(lab: Lab, way: _Way, answer: Answer, forwarded: Answer | None, echoes: int) -> Cell:
    tcp, udp = (text.startswith(f"{way.answerer} ") for text in (answer.tcp, answer.udp))
    notes = []
    if others := answer.names - {way.answerer}:
        notes.append(f"{way.address} is {', '.join(sorted(others))}")
    elsewhere = bool(others) and not (tcp or udp)
    if answer.icmp and not echoes and not elsewhere:
        notes.append(f"the ping is not answered by {way.answerer}, whose kernel counts none")
    if answer.arp and answer.arp not in _macs(lab, way.answerer):
        notes.append(f"ARP is answered by {answer.arp}, which is not {way.answerer}'s")
    sees = {text.split()[1].rpartition(":")[0] for text in (answer.tcp, answer.udp) if text}
    if (tcp or udp) and sees != {way.seen}:
        notes.append(f"{way.answerer} sees {', '.join(sorted(sees))}")
    observed = YES if tcp and udp else "partly" if tcp or udp else NO
    forward = None
    if forwarded is not None:
        through = {kind: getattr(forwarded, kind).startswith("vm1 ") for kind in ("tcp", "udp")}
        to = lab.mode.reach[way.name]
        forward = {"how": lab.mode.reach["forward"], "to": to, **through}
        if observed == NO and any(through.values()):
            observed = FORWARD
            if not all(through.values()):
                notes.append(f"only {'TCP' if through['tcp'] else 'UDP'} is forwarded")
    how = f"from {way.asker} to {way.address}: arping, ping, TCP and UDP port 7"
    if forward:
        how += f"; to {forward['to']} with {forward['how']}"
    expected = lab.mode.expect.get(way.name, "")
    return Cell(
        expected,
        observed,
        bool(answer.arp),
        answer.icmp and not elsewhere,
        tcp,
        udp,
        how,
        "; ".join(notes),
        forward,
    )


def _macs(lab: Lab, machine: str) -> set[str]:
    if machine in lab.guests:
        return {mac_of(int(machine.removeprefix("vm")))}
    words = lab.spaces[machine].ip("-o", "link").split()
    return {words[at + 1] for at, word in enumerate(words) if word == "link/ether"}


def _target(text: str) -> Target:
    address, _, port = text.partition(":")
    return Target(address, int(port), everything=False)


def _internet(answer: Answer) -> str:
    parts = [
        name
        for name, ok in (("ICMP", answer.icmp), ("TCP", bool(answer.tcp)), ("UDP", bool(answer.udp)))
        if ok
    ]
    return f"the internet: {', '.join(parts)}" if parts else ""


def _add_note(cells: dict[str, Cell], name: str, note: str) -> None:
    if note:
        cell = cells[name]
        old = {key: getattr(cell, key) for key in Cell.__slots__}
        cells[name] = Cell(**{**old, "note": "; ".join(filter(None, (cell.note, note)))})
