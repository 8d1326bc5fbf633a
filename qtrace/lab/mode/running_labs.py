"""The labs of this machine: /run/qtrace/labs has a folder for each, whichever process started it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qtrace.cache import atomic_file
from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.host.owned import (
    LABS,
    lab_owner,
    own,
    owner_name,
    private_dir,
    remove_leftovers,
    start_time,
)
from qtrace.lab.mode.mode import SPACES

__all__ = ["Entry", "claim", "describe", "find_machine", "labs", "stop"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A lab as other processes see it: `guests` are name -> pid of QEMU; `owner` names its process."""

    name: str
    mode: str
    nic: str
    home: Path
    guests: dict[str, int]
    owner: int = 0
    alive: bool = True
    up: bool = False
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def machines(self) -> list[str]:
        """The guests, then the namespaces."""
        return [*self.guests, *SPACES]


@contextlib.contextmanager
def claim(mode: str) -> Iterator[tuple[str, Path]]:
    """A name that no other lab has (`tap`, `tap-2` …) and the lab's folder, removed when the block ends."""
    try:
        LABS.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise MissingPrerequisite(f"cannot write to {LABS}: {exc.strerror}", hint="run it with sudo") from exc
    with private_dir(place=LABS) as beside:
        (beside / "owner").write_text(owner_name())
        beside.chmod(0o755)
        for number in range(1, 1000):
            name = mode if number == 1 else f"{mode}-{number}"
            home = LABS / name
            with own("dir", str(home)):
                try:
                    if not home.exists() and _take(beside, home):
                        yield name, home
                        return
                finally:
                    if lab_owner(home) == owner_name():
                        home.rename(beside)  # and is removed under that name
    raise LabError("there are too many labs", hint="run: qtrace lab down --all")


def _take(beside: Path, home: Path) -> bool:
    """Rename `beside`, which names its owner, to `home`; false if another process was faster."""
    try:
        beside.rename(home)
    except OSError:
        return False
    return True


def describe(home: Path, entry: Entry, *, up: bool = False) -> None:
    """Write the lab's entry, which `labs` returns to other processes."""
    facts = {"mode": entry.mode, "nic": entry.nic, "guests": entry.guests, "up": up}
    with atomic_file(home / "lab.json") as beside:
        beside.write_text(json.dumps({**facts, "addresses": entry.addresses}))


def labs() -> list[Entry]:
    """Every lab that has a folder, including labs whose owner has died (`alive` is false)."""
    found = []
    for home in sorted(LABS.glob("*")):
        try:
            owner, _, started = (home / "owner").read_text().partition("-")
            raw = json.loads((home / "lab.json").read_text())
        except (OSError, ValueError):  # the lab is being made or removed
            continue
        alive = start_time(int(owner)) == started
        where = (home.name, raw["mode"], raw["nic"], home)
        found.append(Entry(*where, raw["guests"], int(owner), alive, raw["up"], raw["addresses"]))
    return found


def find_machine(name: str) -> tuple[Entry, str]:
    """The lab and the machine of that name: `vm1`, or `LAB:vm1` if several labs run. Raises LabError.

    A machine is a guest, or one of the lab's namespaces.
    """
    lab, _, machine = name.rpartition(":")
    running = [entry for entry in labs() if entry.alive]
    fitting = [entry for entry in running if machine in entry.machines and lab in ("", entry.name)]
    if len(fitting) == 1:
        return fitting[0], machine
    if not running:
        raise LabError("no lab runs", hint="start one in another terminal: qtrace lab up user")
    have = ", ".join(f"{entry.name}:{item}" for entry in running for item in entry.machines)
    which = "several labs have" if fitting else "no lab has"
    raise LabError(f"{which} a machine {name!r}", hint=f"the machines are: {have}")


def stop(names: list[str], timeout: float = 30.0) -> list[str]:
    """End these labs; labs that do not end in time are killed, and their leftovers removed. Returns a line
    for each.
    """
    entries = {entry.name: entry for entry in labs()}
    if unknown := [name for name in names if name not in entries]:
        have = ", ".join(entries) or "none"
        raise LabError(f"there is no lab {', '.join(unknown)}", hint=f"the labs are: {have}")
    if os.geteuid() != 0:
        raise MissingPrerequisite("labs and their remains belong to root", hint="run it with sudo")
    said = []
    for name in names:
        entry = entries[name]
        if entry.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(entry.owner, signal.SIGTERM)
            if not _gone(entry, timeout):
                os.kill(entry.owner, signal.SIGKILL)
                _gone(entry, 60, process=True)
            said.append(f"lab {name}")
    return said + remove_leftovers()


def _gone(entry: Entry, timeout: float, *, process: bool = False) -> bool:
    deadline = time.monotonic() + timeout
    while Path(f"/proc/{entry.owner}").exists() if process else entry.home.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
