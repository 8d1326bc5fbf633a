"""One connection mode, live: its topology, the programs beside QEMU, and its guests."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qtrace.distribution.identity import distribution
from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.guest.guest import QEMU_UID, Guest
from qtrace.lab.guest.kernel import ensure_kernel
from qtrace.lab.host.helper import Helper, start_helper
from qtrace.lab.host.host_rights import require_rights
from qtrace.lab.host.netns import Namespace
from qtrace.lab.link.tap import private_tun
from qtrace.lab.mode.lab_guest import Boot, start_lab_guest
from qtrace.lab.mode.lab_image import ensure_lab_image, require_nic
from qtrace.lab.mode.mode import SPACES, Mode, Program
from qtrace.lab.mode.recorder import Recorder
from qtrace.lab.mode.responder import open_responder
from qtrace.lab.mode.running_labs import Entry, claim, describe
from qtrace.lab.mode.topology import Topology, mac_of, open_topology
from qtrace.progress import SILENT, Progress

__all__ = ["LAB_PROGRAMS", "Lab", "open_lab"]

LAB_PROGRAMS = ("ip", "nft", "nsenter", "setpriv", "unshare", "busybox", "perl")
_BOOT_TIMEOUT = 300.0  # seconds; two guests on a busy machine take five, and a disk may stand still


@dataclass(slots=True)
class Lab:
    """A running lab. `addresses` has each guest's address, without the length of its prefix."""

    name: str
    home: Path
    mode: Mode
    nic: str
    recorder: Recorder
    spaces: dict[str, Namespace]
    guests: dict[str, Guest] = field(default_factory=dict)
    helpers: list[Helper] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)

    def fill(self, text: str, number: int = 0) -> str:
        """`text` with its placeholders replaced, for guest `number`."""
        return _fill(self.name, self.home)(text, number)

    def wait_until_up(self, timeout: float = _BOOT_TIMEOUT) -> None:
        """Wait until every guest has booted and has its address. Raises LabError."""
        deadline = time.monotonic() + timeout
        for name, guest in self.guests.items():
            try:
                guest.connect(deadline)
            except LabError as exc:
                raise LabError(f"{name} of the lab {self.name}: {exc}") from exc
            said = guest.try_sh("cat /sys/class/net/eth0/carrier; ip -4 -o addr show dev eth0")[1]
            words = said.split()
            if len(words) < 5 or words[0] != "1":
                last = " / ".join(guest.sh("dmesg | tail -n 3").splitlines())
                raise LabError(
                    f"{name} of the lab {self.name} has no address or no link ({self.nic}): {last}"
                )
            self.addresses[name] = words[4].partition("/")[0]
        self.check()
        describe(self.home, self.entry(), up=True)

    def entry(self) -> Entry:
        """The entry of this lab in the list of running labs."""
        pids = {name: guest.pid for name, guest in self.guests.items()}
        return Entry(self.name, self.mode.name, self.nic, self.home, pids, addresses=self.addresses)

    def kill(self) -> None:
        """End the guests at once; a thread that waits for one gets an error."""
        for guest in self.guests.values():
            guest.kill()

    def wait_for_end(self) -> None:
        """Wait until the last guest has ended. Raises LabError if a program beside the guests ends."""
        every: list[Guest | Helper] = [*self.guests.values(), *self.helpers]
        watched = {os.pidfd_open(one.pid): one for one in every}
        try:
            while any(isinstance(one, Guest) for one in watched.values()):
                for descriptor in select.select([*watched], [], [])[0]:
                    ended = watched.pop(descriptor)
                    os.close(descriptor)
                    if isinstance(ended, Helper):
                        ended.check()
        finally:
            for descriptor in watched:
                os.close(descriptor)

    def check(self) -> None:
        """Raise LabError if a guest or a program beside it has ended."""
        for helper in self.helpers:
            helper.check()
        for name, guest in self.guests.items():
            if gone := guest.epitaph():
                raise LabError(f"{name}: {gone}")


def _fill(lab: str, home: Path) -> Callable[[str, int], str]:
    words = {"{lab}": str(home), "{user}": str(QEMU_UID)}
    words |= {f"{{{space}}}": f"qt-{lab}-{space}" for space in SPACES}

    def fill(text: str, number: int) -> str:
        for word, value in {**words, "{n}": str(number), "{mac}": mac_of(number)}.items():
            text = text.replace(word, value)
        return text

    return fill


@contextlib.contextmanager
def open_lab(
    mode: Mode,
    nic: str = "",
    guests: int = 2,
    progress: Progress = SILENT,
    *,
    try_first: bool = False,
    programs: Sequence[str] = (),
) -> Iterator[Lab]:
    """Build `mode` and start its guests (see `Lab.wait_until_up`); all is removed when the block ends.

    `try_first`: see Recorder. `programs` are in the guests besides busybox. Raises LabError or
    MissingPrerequisite.
    """
    nic = nic or mode.nic
    require_nic(nic)
    if not 1 <= guests <= mode.most:
        raise LabError(f"the mode {mode.name} takes 1 to {mode.most} guests, not {guests}")
    require_rights()
    _require(mode)
    kernel = ensure_kernel(progress)
    image = ensure_lab_image(kernel, nic, progress, programs)
    with contextlib.ExitStack() as stack:
        name, home = stack.enter_context(claim(mode.name))
        fill = _fill(name, home)
        recorder = Recorder(try_first=try_first)
        recorder.note(f"folders of user {QEMU_UID}, for sockets")
        folders = [str(home / item) for item in ("shared", *(f"vm{n}" for n in range(1, guests + 1)))]
        recorder.run("install", "-d", "-m", "700", "-o", str(QEMU_UID), *folders)
        topology = stack.enter_context(open_topology(name, mode, guests, fill, recorder))
        lab = Lab(name, home, mode, nic, recorder, dict(topology.spaces))
        # Before the guests: a guestfwd connects when QEMU starts.
        stack.enter_context(open_responder(lab.spaces))
        for program in mode.programs:
            for number in range(1, guests + 1) if "{n}" in program.name else (0,):
                lab.helpers.append(stack.enter_context(_start(program, number, lab)))
        for number in range(1, guests + 1):
            seat = mode.seat(number)
            boot = Boot(
                f"vm{number}",
                nic,
                mac_of(number),
                tuple(fill(item, number) for item in seat.netdev),
                fill(seat.address, number),
                fill(seat.gateway, number),
                kernel.image,
                image,
                choose_accelerator(),
                tuple(_macvtap(fill(item, number), topology) for item in seat.private),
                fill(seat.redirect, number),
                seat.spawns,
                tuple(fill(item, number) for item in seat.more),
            )
            recorder.note(f"{boot.name}: QEMU as user {QEMU_UID}, without any capability")
            guest, line = stack.enter_context(start_lab_guest(boot, lab.spaces["host"], home))
            recorder.lines.append(line)
            lab.guests[boot.name] = guest
            _wait_for_server(boot, guest)
        describe(home, lab.entry())
        yield lab


def _require(mode: Mode) -> None:
    """Raise MissingPrerequisite if this machine lacks a prerequisite of `mode`."""
    for name in LAB_PROGRAMS:
        if not shutil.which(name):
            raise MissingPrerequisite(f"the lab needs the program {name}", hint=distribution().hint(name))
    machine = "use the lab machine: --venue vm"
    for path in mode.needs:
        if not Path(path).exists():
            hint = machine if path.startswith("/dev/") else distribution().hint(Path(path).name)
            raise MissingPrerequisite(f"the mode {mode.name} needs {path}, which is not here", hint=hint)
    if mode.kvm and choose_accelerator() != "kvm":
        raise MissingPrerequisite(
            f"the mode {mode.name} needs KVM: QEMU under TCG dies of it (docs/reachability.md)", hint=machine
        )
    for program in mode.programs:
        name = program.name.removesuffix("{n}")
        if not shutil.which(name):
            raise MissingPrerequisite(
                f"the mode {mode.name} needs the program {name}", hint=distribution().hint(name)
            )


def _macvtap(text: str, topology: Topology) -> str:
    """Replace `{device:NAME}` by the `MAJOR MINOR` of that macvtap's character device."""
    for name, device in topology.macvtaps.items():
        text = text.replace(f"{{device:{name}}}", device.replace(":", " "))
    return text


@contextlib.contextmanager
def _start(program: Program, number: int, lab: Lab) -> Iterator[Helper]:
    name, command = lab.fill(program.name, number), shlex.split(lab.fill(program.run, number))
    ready = Path(lab.fill(program.ready, number))
    user = f"--reuid={QEMU_UID}", f"--regid={QEMU_UID}", "--clear-groups", "--inh-caps=-all"
    if not program.root:
        command = ["setpriv", *user, "--pdeathsig=KILL", "--", *command]
    if program.tap and (private := private_tun()):
        script = " && ".join([*private, 'exec "$@"'])
        command = ["unshare", "--mount", "sh", "-c", script, name, *command]
    lab.recorder.note(f"{name}" + ("" if program.root else f", as user {QEMU_UID}"))
    lab.recorder.lines.append(shlex.join(lab.spaces[program.space].argv(command)))
    with start_helper(
        lab.spaces[program.space], name, command, lambda _: ready.exists(), f"make {ready}"
    ) as helper:
        yield helper


def _wait_for_server(boot: Boot, guest: Guest) -> None:
    """Wait until a guest that others connect to listens: it makes its monitor after its netdevs."""
    if not any("listen=" in item or "server=on" in item for item in boot.netdev):
        return
    deadline = time.monotonic() + _BOOT_TIMEOUT
    while not guest.has_monitor():
        if gone := guest.epitaph():
            raise LabError(f"{boot.name}: {gone}")
        if time.monotonic() > deadline:
            raise LabError(f"{boot.name}: QEMU did not open its netdev in time")
        time.sleep(0.01)
