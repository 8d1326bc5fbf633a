"""What qtrace counts of a stranger's guest while it pings, held against the guest's own account."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from installer import Installer
from machines import Machine

from qtrace.index.build import ensure_index
from qtrace.store.index import Index, open_index

__all__ = ["Account", "Verdict", "record"]

_MOST = 5  # recordings of a guest
_EACH = 6  # echo requests of each size
_BROKEN = ("not seen here", "lost", "missed")  # lines of the ledger
# What a path has of these counts each frame.
EACH_FRAME = ("dequeue", "send", "deliver", "host", "complete", "enqueue")
# Lines that are for no frames: virtio's configuration, vmxnet3's events. (e1000e and igb have one of the
# interface's own name beside those of its queues.)
_NOT_FRAMES = ("-config", "-event-")
_UNCLEAR = (
    "two that wait are one to a guest whose processor waits for its turn, and a pin that is still up is one "
    "more: so in each of its recordings, at most once for each request and each answer"
)
_BESIDE = "others passed while counting began or ended"
_LEVEL = "-fasteoi"  # how Linux names the lines of an IO-APIC that are level-triggered
# Drivers with a timer that has the card interrupt every two seconds, to be sure that no frame is forgotten.
_TIMED = {"e1000e": "e1000e_watchdog_task", "igb": "igb_watchdog_task"}
# Their cards' timer of a vector's least interval: 7.2's raises the vector if an interrupt waits for it,
# 10.0's raises it anyway.
_INTERVAL = "intrmgr_on_msix_throttling_timer"
_ASKS = "eitr_intr_pending"

# Cards whose pin rises more often than the guest is interrupted: at most once more each time.
_PULSES = {
    "rtl8139": "rtl8139_IntrStatus_write lets the pin fall and rise again where the guest acknowledges one "
    "cause and another waits"
}


@dataclass(frozen=True)
class Verdict:
    """Of one stage: what was counted and what the guest says, or `why` these are not compared. `margin`: so
    many more may have been counted than the guest says, `less`: so many fewer, for the reason in `why`."""

    direction: str
    stage: str
    counted: int = 0
    wanted: int | None = None
    least: bool = False  # `wanted` is the least that it must be
    margin: int = 0
    less: int = 0
    why: str = ""

    @property
    def right(self) -> bool:
        if self.wanted is None:
            return bool(self.why)
        if self.least:
            return self.counted >= self.wanted
        return self.wanted - self.less <= self.counted <= self.wanted + self.margin

    @property
    def exact(self) -> bool:
        return self.counted == self.wanted

    def __str__(self) -> str:
        said = f"{self.direction} {self.stage}".strip()
        if self.wanted is not None:
            said += f" {self.counted} of {'at least ' * self.least}{self.wanted}"
        return f"{said} ({self.why})" if self.why else said


@dataclass(frozen=True)
class Account:
    """What was recorded, and what the guest says of the same time: echo requests, frames that it sent and
    received, interrupts by line, and what its kernel remarked before; the last of so many recordings.

    `beside` are the frames that it sent and received, and its interrupts, while counting began or ended: they
    may have been counted or not. There are none but where something else than the pings passes.

    `echo` is the function that raises each vector once more after its interval, empty where none does.
    """

    machine: Machine
    tables: dict[str, list[dict[str, Any]]]
    pings: int
    sent: int
    received: int
    lines: dict[str, int]
    remarks: tuple[str, ...] = ()
    recordings: int = 1
    beside: tuple[int, int, int] = (0, 0, 0)
    echo: str = ""

    @property
    def interrupts(self) -> dict[str, int]:
        """By line: those for frames."""
        apart = any(f"{name}-" in line for line in self.lines for name in ("eth0", "usb0"))
        return {
            line: number
            for line, number in self.lines.items()
            if not any(word in line for word in _NOT_FRAMES)
            and not (apart and line.endswith((" eth0", " usb0")))
        }

    @property
    def ways(self) -> dict[tuple[str, str, str], int]:
        """(direction, stage, function) -> how often it was passed so; of a stage with one way too."""
        found = {
            (row["direction"], row["stage"], row["function"]): row["calls"]
            for row in self.tables["stages"]
            if row["attached"]
        }
        found |= {
            (row["direction"], row["stage"], row["function"]): row["calls"] for row in self.tables["ways"]
        }
        return {key: calls for key, calls in found.items() if calls}

    def verdicts(self) -> Iterator[Verdict]:
        """Of every stage that the paths have, in their order; the interrupts of both directions as one."""
        for row in self.tables["stages"]:
            way, stage = row["direction"], row["stage"]
            if not row["attached"]:
                yield Verdict(way, stage, why=f"not measured: {row['note']}")
            elif stage == "kick":
                yield Verdict(way, stage, row["calls"], self.pings, least=True)
            elif stage in EACH_FRAME:
                wanted, more = (self.sent, self.beside[0]) if way == "tx" else (self.received, self.beside[1])
                yield Verdict(way, stage, row["frames"], wanted, margin=more, why=_BESIDE * (more > 0))
        rows = [row for row in self.tables["stages"] if row["stage"] == "interrupt" and row["attached"]]
        if rows:
            yield self._interrupt(sum(row["calls"] for row in rows))

    def _interrupt(self, counted: int) -> Verdict:
        taken, beside = sum(self.interrupts.values()), self.beside[2]
        if driver := _TIMED.get(self.machine.driver.partition(" ")[0], ""):
            why = f"{driver} has each vector interrupt every two seconds, maybe before or after the readings"
            margin = beside + 2 * len(self.interrupts)
            if self.echo and any(function == "msix_notify" for _, _, function in self.ways):
                margin += taken
                why += f"; {self.echo} raises each again, which a guest may take as one"
            return Verdict("", "interrupt", counted, taken, margin=margin, why=why)
        if why := _PULSES.get(self.machine.model, ""):
            return Verdict("", "interrupt", counted, taken, margin=beside + taken, why=why)
        if self.recordings == _MOST:
            most = 2 * self.pings
            less = most if self.of_a_pin else 0
            return Verdict("", "interrupt", counted, taken, margin=beside + most, less=less, why=_UNCLEAR)
        return Verdict("", "interrupt", counted, taken, margin=beside, why=_BESIDE * (beside > 0))

    @property
    def unclear(self) -> bool:
        """Whether nothing is wrong but that the guest took fewer interrupts than were counted and its card is
        not known for it, or more by a pin."""
        told = [one for one in self.verdicts() if one.stage == "interrupt" and one.wanted is not None]
        more = (
            any(one.counted > (one.wanted or 0) + one.margin for one in told)
            and self.machine.model not in _PULSES
        )
        fewer = any(one.counted < (one.wanted or 0) for one in told) and self.of_a_pin
        return (more or fewer) and set(self.wrong()) <= set(map(str, told))

    @property
    def of_a_pin(self) -> bool:
        """Whether the guest takes each of its interrupts from a line that is level-triggered."""
        return all(_LEVEL in line for line in self.interrupts)

    def unmeasured(self) -> dict[tuple[str, str], str]:
        """(direction, stage) -> why it could not be measured."""
        return {(v.direction, v.stage): v.why for v in self.verdicts() if v.wanted is None}

    def wrong(self) -> list[str]:
        """What does not hold: verdicts, laws of conservation, losses."""
        found = [str(verdict) for verdict in self.verdicts() if not verdict.right]
        found += [f"{row['kind']}: {row['item']}" for row in self.tables["ledger"] if row["kind"] in _BROKEN]
        if min(self.sent, self.received) < self.pings:
            found.append(f"the guest says {self.sent} sent, {self.received} received of {self.pings} pings")
        return found


def record(guest: Installer, folder: Path, index: str = "") -> Account:
    """Record it while it pings; `index` is the path of its QEMU's, where that is not the installed one.

    An interrupt that is raised again before the guest takes the first, as when its processor has to wait for
    its turn on the host, is one to it. A pin that is still up when the guest has ended its interrupt gives it
    another (ioapic_eoi_broadcast in hw/intc/ioapic.c). So where nothing but these differs, it is recorded
    again; and where the machine is so busy that it differs every time, at most one for each request and each
    answer may.
    """
    folder.mkdir()
    echo = _echo(guest.machine, open_index(Path(index)) if index else ensure_index()[0])
    for number in range(1, _MOST + 1):
        account = replace(_record(guest, folder / str(number), index), recordings=number, echo=echo)
        if not account.unclear:
            break
    return account


def _echo(machine: Machine, index: Index) -> str:
    """The function of this release that raises a vector of the card's again when its interval is over,
    whether or not an interrupt waits for it."""
    name = f"{machine.model}_{_INTERVAL}"
    for row in index.function(name):
        lines = Path(index.meta["root"], row.file).read_text().splitlines()
        if not any(_ASKS in line for line in lines[row.line - 1 : index.end_of(row.name, row.file)]):
            return name
    return ""


def _record(guest: Installer, folder: Path, index: str) -> Account:
    argv = [sys.executable, "-m", "qtrace", "record", str(guest.pid), "--duration", "300", "--format", "json"]
    argv += ["--max-overhead", "none", "--cpu-hertz", "0", "-o", str(folder)]
    argv += ["--index", index] if index else []
    first = guest.frames(), sum(guest.interrupts().values())
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tracer:
        assert tracer.stdout and tracer.stderr
        try:
            said, heard = "", ""
            while "counting in process" not in said:
                heard, said = heard + said, tracer.stderr.readline()
                assert said, f"the tracer has ended: {heard}"
            before, frames = guest.interrupts(), guest.frames()
            pings = guest.ping(_EACH)
            now, after = guest.frames(), guest.interrupts()
            tracer.send_signal(signal.SIGINT)
            answer = json.loads(tracer.stdout.read())
        finally:
            tracer.kill()
    last = guest.frames(), sum(guest.interrupts().values())
    taken = {line: number - before[line] for line, number in after.items()}
    sent, received = (now[way] - frames[way] for way in range(2))
    beside = (
        last[0][0] - first[0][0] - sent,
        last[0][1] - first[0][1] - received,
        last[1] - first[1] - sum(taken.values()),
    )
    remarks = tuple(guest.remarks())
    return Account(guest.machine, answer, pings, sent, received, taken, remarks, beside=beside)
