"""A guest: one unprivileged QEMU process, its monitor and its agent, as a context manager."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qemu.qmp.legacy import QEMUMonitorProtocol, QMPError

from qtrace.distribution.identity import distribution
from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.guest.agent import Agent
from qtrace.lab.guest.clock import counter_words
from qtrace.lab.guest.qemu_program import QemuProgram
from qtrace.lab.host.netns import Namespace
from qtrace.lab.host.owned import private_dir

__all__ = [
    "CMDLINE",
    "MEMORY",
    "QEMU_UID",
    "Guest",
    "GuestSpec",
    "find_qemu",
    "monitor_at",
    "start_guest",
    "unprivileged",
]

# nobody: QEMU needs no rights; taps are made for this user, and open descriptors are passed to QEMU.
QEMU_UID = 65534
MEMORY = 256  # MiB of a guest


def find_qemu() -> Path:
    """The installed qemu-system-x86_64. Raises MissingPrerequisite."""
    found = shutil.which("qemu-system-x86_64")
    if not found:
        raise MissingPrerequisite(
            "qemu-system-x86_64 is not installed",
            hint=distribution().hint("qemu-system-x86_64"),
        )
    return Path(found)


# pci=noearly: the kernel's early search for AGP bridges makes 65,536 port accesses, seven seconds if KVM
# itself is emulated.
CMDLINE = (
    "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off random.trust_cpu=on pci=noearly tsc=reliable "
    "no_timer_check cryptomgr.notests audit=0 apparmor=0"
)


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """The guest to start. `netdev` are QEMU's own arguments after `-netdev`, `id=net0` among them; `qemu` is
    the QEMU that it runs in, None for the installed one."""

    nic: str
    netdev: str
    mac: str
    kernel: Path
    initrd: Path
    accelerator: str = "tcg"
    memory: int = MEMORY  # MiB
    processors: int = 1
    queues: int = 1  # pairs of the NIC
    sandbox: bool = True
    pass_fds: tuple[int, ...] = field(default=())
    more: tuple[str, ...] = ()  # further arguments
    qemu: QemuProgram | None = None

    def argv(self, binary: Path, home: Path, kernel: int, initrd: int) -> list[str]:
        """The command line; sockets and console log are in `home`.

        Kernel and initramfs are open descriptors, because QEMU's user may have no access to the cache.
        """
        usb = self.nic.startswith("usb-")
        # A vector for each queue, one for the configuration, one for the control queue.
        queues = f",mq=on,vectors={2 * self.queues + 2}" if self.queues > 1 else ""
        return [
            str(binary),
            *("-name", "qtrace,debug-threads=on", "-nodefaults", "-no-user-config", "-display", "none"),
            *(
                "-machine",
                "pc,usb=off",
                "-accel",
                self.accelerator,
                "-smp",
                str(self.processors),
                "-m",
                f"{self.memory}M",
            ),
            *("-cpu", "host" if self.accelerator == "kvm" else "max,la57=off"),
            *(("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny") if self.sandbox else ()),
            *("-kernel", f"/proc/self/fd/{kernel}", "-initrd", f"/proc/self/fd/{initrd}"),
            *("-append", CMDLINE + counter_words(self.accelerator)),
            *("-no-reboot", "-chardev", f"file,id=console,path={home}/console"),
            *("-serial", "chardev:console"),
            *("-qmp", f"unix:{home}/qmp,server=on,wait=off"),
            *(
                "-device",
                "virtio-serial-pci",
                "-chardev",
                f"socket,id=agent,path={home}/agent,server=on,wait=off",
            ),
            *("-device", "virtserialport,chardev=agent,name=qtrace"),
            *("-netdev", self.netdev),
            *self.more,
            *(("-device", "qemu-xhci") if usb else ()),
            *(
                "-device",
                f"{self.nic},netdev=net0,id=nic0,mac={self.mac}{queues}" + ("" if usb else ",romfile="),
            ),
        ]


class Guest:
    """A running guest. After the guest has ended, every call raises LabError at once."""

    def __init__(
        self, spec: GuestSpec, argv: list[str], process: subprocess.Popen[bytes], home: Path
    ) -> None:
        self.spec = spec
        self.argv = argv
        self._process = process
        self._home = home
        self.release = ""
        self._agent: Agent | None = None
        self._qmp: QEMUMonitorProtocol | None = None

    @property
    def pid(self) -> int:
        """The QEMU process (nsenter, setpriv and others execute it in their place)."""
        return self._process.pid

    def sh(self, command: str, timeout: float = 120.0) -> str:
        """Run a shell command in the guest and return its output. Raises LabError if it fails."""
        status, output = self._line().run(command, timeout)
        if status != 0:
            raise LabError(f"in the guest, {command!r} ended with status {status}: {output.strip()[-500:]}")
        return output

    def try_sh(self, command: str, timeout: float = 120.0) -> tuple[int, str]:
        """As `sh`, but returns (exit status, output)."""
        return self._line().run(command, timeout)

    def qmp(self, command: str, **arguments: object) -> object:
        """One QMP command's return value."""
        if self._qmp is None:
            raise LabError("the guest's monitor is not connected")
        try:
            return self._qmp.cmd(command, **arguments)
        except (QMPError, OSError, EOFError) as exc:
            raise LabError(self.epitaph() or f"QMP {command} failed: {exc}") from exc
        except KeyboardInterrupt:
            _end_tasks()
            raise

    def hand_over(self, name: str, descriptor: int) -> None:
        """Pass QEMU a descriptor, to which its options can refer as `name` afterwards."""
        if self._qmp is None:
            raise LabError("the guest's monitor is not connected")
        try:
            self._qmp.send_fd_scm(descriptor)
        except (QMPError, OSError) as exc:
            raise LabError(self.epitaph() or f"a descriptor cannot be handed over: {exc}") from exc
        self.qmp("getfd", fdname=name)

    def epitaph(self) -> str | None:
        """Why the guest ended, with the last output of QEMU and of its kernel; None while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        said = self._tail("stderr") or self._tail("console")
        return f"QEMU (pid {self.pid}) {how}" + (f": {said}" if said else "")

    def connect(self, deadline: float) -> None:
        """Wait until monitor and agent answer. `deadline` is monotonic seconds."""
        for name in ("qmp", "agent"):
            while not self._listens(name):
                if gone := self.epitaph():
                    raise LabError(gone)
                if time.monotonic() > deadline:
                    raise LabError(f"QEMU did not open its {name} socket in time")
                time.sleep(0.01)
        self._agent = Agent(self._home / "agent", self.epitaph)
        self._qmp = monitor_at(self._home / "qmp")
        try:
            self._qmp.connect()
            self._qmp.settimeout(120)
        except (QMPError, OSError, EOFError) as exc:
            raise LabError(self.epitaph() or f"cannot reach QEMU's monitor: {exc}") from exc
        except KeyboardInterrupt:
            _end_tasks()
            raise
        self.release = self._agent.wait_ready(deadline)

    def has_monitor(self) -> bool:
        """Whether QEMU has opened its monitor, which it does after all netdevs."""
        return self._listens("qmp")

    def leave(self) -> None:
        """Close agent and monitor, so that another process may connect to them; `connect` opens them
        again."""
        if self._agent:
            self._agent.close()
        if self._qmp:
            self._qmp.close()
        self._agent = self._qmp = None

    def kill(self) -> None:
        """Kill the process only: another thread would wait for ever on a connection closed here."""
        if self._process.poll() is None:
            self._process.kill()

    def stop(self) -> None:
        """End the process, by force if necessary."""
        with contextlib.suppress(Exception):
            if self._agent:
                self._agent.close()
        with contextlib.suppress(Exception):
            if self._qmp:
                self._qmp.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _listens(self, name: str) -> bool:
        """Whether QEMU listens on this socket: its file exists shortly before (linux/net.h,
        SO_ACCEPTCON).
        """
        path = str(self._home / name)
        try:
            rows = [line.split() for line in Path(f"/proc/{self.pid}/net/unix").read_text().splitlines()]
        except OSError:  # the process has ended
            return False
        # linux/net.h: __SO_ACCEPTCON
        return any(row[3] == "00010000" for row in rows if row[-1] == path)

    def _line(self) -> Agent:
        if self._agent is None:
            raise LabError("the guest's agent is not connected")
        return self._agent

    def _tail(self, name: str) -> str:
        try:
            text = (self._home / name).read_text(errors="replace").strip()
        except OSError:
            return ""
        return " / ".join(text.splitlines()[-4:])[-600:]


def monitor_at(path: Path) -> QEMUMonitorProtocol:
    """QEMU's monitor at a socket, not connected yet. Ctrl-C waits until it is made: a half-made one complains
    when it is collected."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return QEMUMonitorProtocol(str(path))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_tasks() -> None:
    """End tasks that an interrupted monitor call has left in the event loop: asyncio prints a traceback for a
    task whose result is never read."""
    loop = asyncio.get_event_loop()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


@contextlib.contextmanager
def start_guest(spec: GuestSpec, space: Namespace) -> Iterator[Guest]:
    """Start `spec` in `space`; `Guest.connect` waits until it has booted. It is ended when the block ends, or
    when this process dies.
    """
    program = spec.qemu or QemuProgram(find_qemu())
    with private_dir(QEMU_UID) as home:
        with (
            (home / "stderr").open("wb") as log,
            spec.kernel.open("rb") as kernel,
            spec.initrd.open("rb") as initrd,
        ):
            inner = spec.argv(program.inside, home, kernel.fileno(), initrd.fileno())
            argv = space.argv(program.argv(unprivileged(inner, spec.accelerator)))
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(*spec.pass_fds, kernel.fileno(), initrd.fileno()),
                # Ctrl-C is delivered to this process only, which then ends the guests in order.
                process_group=0,
            )
        guest = Guest(spec, argv, process, home)
        try:
            yield guest
        finally:
            guest.stop()


def unprivileged(argv: Sequence[str], accelerator: str, *, gains: bool = False) -> list[str]:
    """`argv` as `QEMU_UID`, without capabilities, killed when this process dies.

    With `gains`, a set-uid program that it runs may still gain rights.
    """
    group = "--clear-groups"
    if accelerator == "kvm":
        kvm = Path("/dev/kvm").stat()
        if not kvm.st_mode & 0o002:
            group = f"--groups={kvm.st_gid}"
    return [
        "setpriv",
        *(f"--reuid={QEMU_UID}", f"--regid={QEMU_UID}", group),
        *(() if gains else ("--no-new-privs", "--bounding-set=-all")),
        *("--inh-caps=-all", "--pdeathsig=KILL", "--"),
        *argv,
    ]
