"""The lab machine: a small VM on the host's own file system, with root, KVM, vhost-net, kprobes and bcc.

Its root is the host's root, read-only over 9p, under a tmpfs, so all files written inside are lost at the
end, except in shared folders. Paths inside equal those outside. It needs no root and has no network. Under
TCG it emulates AMD's SVM (QEMU's target/i386/tcg/sysemu/svm_helper.c), so that guests inside it run with
`-accel kvm`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal, Self

from qtrace.distribution.identity import distribution
from qtrace.errors import LabError, MachineGone, MissingPrerequisite
from qtrace.lab.guest.accel import kvm_usable
from qtrace.lab.guest.clock import counter_words
from qtrace.lab.guest.kernel import Kernel, ensure_kernel
from qtrace.lab.machine.emulator import choose_emulator, release_of
from qtrace.lab.machine.machine_image import machine_image, share_tag
from qtrace.progress import SILENT, Progress

__all__ = ["LabMachine", "Output"]

Output = Callable[[Literal["stdout", "stderr"], bytes], None]
"""Receives the output of a command inside, as it arrives."""

_CMDLINE = (
    "console=ttyS0 quiet loglevel=3 panic=-1 oops=panic mitigations=off random.trust_cpu=on nokaslr "
    "tsc=reliable no_timer_check pci=noearly rcupdate.rcu_expedited=1 "
    "cryptomgr.notests audit=0 selinux=0 apparmor=0"
)
# What of the console tells why a kernel ended; after it come registers and code.
_FAULT = re.compile(r"BUG:|Oops|general protection|invalid opcode|Kernel panic|RIP: 0010:")
_STREAM: dict[bytes, Literal["stdout", "stderr"]] = {b"O": "stdout", b"E": "stderr"}


class LabMachine:
    """A context manager: boots on entry, is ended on exit. `boot_seconds` is the duration of the boot.

    `share` are folders whose changes inside are written to the host's disk; `memory` is in MiB.
    """

    def __init__(
        self,
        share: Sequence[Path | str] = (),
        progress: Progress = SILENT,
        *,
        memory: int = 3072,
        cpus: int = 3,
        kernel: Kernel | None = None,
        boot_timeout: float = 300.0,
    ) -> None:
        self.share = [Path(path).resolve() for path in share]
        self.memory, self.cpus = memory, cpus
        self.boot_seconds = 0.0
        self.release = ""
        self._progress, self._kernel, self._boot_timeout = progress, kernel, boot_timeout
        self._stack = contextlib.ExitStack()
        self._buffer = b""
        self._emulator: list[str] = []
        self._console: IO[bytes]
        self._socket: socket.socket
        self._process: subprocess.Popen[bytes]

    @property
    def accelerator(self) -> str:
        """`kvm` if it is usable and supports nesting, else `tcg`."""
        nests = any(
            Path(f"/sys/module/{name}/parameters/nested").is_file()
            and Path(f"/sys/module/{name}/parameters/nested").read_text().strip() in ("1", "Y")
            for name in ("kvm_intel", "kvm_amd")
        )
        return "kvm" if nests and kvm_usable()[0] else "tcg"

    @property
    def command_cpus(self) -> list[int]:
        """The CPUs for commands inside, and so for their guests: under TCG all but the first.

        An emulated CPU that loads an FPU state clears a bit in the first CPU's `hflags2`, without a lock
        (QEMU's target/i386/tcg/fpu_helper.c, cpu_set_fpus; tcg/sysemu/fpu_helper.c, cpu_clear_ignne). VMRUN
        and #VMEXIT keep their state in the same word: a guest on the first CPU loses its interrupts, or it or
        its host resets, once in a minute or two.
        """
        return list(range(0 if self.accelerator == "kvm" else 1, self.cpus))

    def describe(self) -> str:
        """The machine in one line, for a report's conditions, once it has been entered."""
        host = os.uname()
        return (
            f"QEMU {'.'.join(map(str, release_of(self._emulator)))} under {self.accelerator}, "
            f"{self.cpus} CPUs, {self.memory} MiB, "
            f"on a host with {len(os.sched_getaffinity(0))} CPUs and {host.sysname} {host.release}"
        )

    @property
    def pid(self) -> int:
        """The machine's QEMU process."""
        return self._process.pid

    def __enter__(self) -> Self:
        for path in self.share:
            if not path.is_dir():
                raise LabError(f"the folder to share is not there: {path}")
        kernel = self._kernel or ensure_kernel(self._progress)
        self._emulator = choose_emulator(self.accelerator, self._progress)
        self._progress.step("booting the lab machine")
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            self._console = stack.enter_context(tempfile.TemporaryFile())
            self._start(kernel, stack)
            self._handshake(began + self._boot_timeout)
            self._stack = stack.pop_all()
        self.boot_seconds = time.monotonic() - began
        self._progress.done(
            f"lab machine: Linux {self.release} under {self.accelerator} in {self.boot_seconds:.1f} s"
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        on_output: Output | None = None,
        timeout: float | None = None,
    ) -> int:
        """Run a command inside, as root; its exit status, negative for the signal that ended it.

        `cwd` and `env` are this process's own unless given. Ctrl-C is passed on as SIGINT, and
        KeyboardInterrupt is raised after the command has ended. Raises LabError if the machine dies,
        or after `timeout` (seconds), when the command is killed.
        """
        order = {
            "argv": [str(word) for word in argv],
            "cpus": self.command_cpus,
            "cwd": str(cwd or Path.cwd()),
            "env": {**(os.environ if env is None else env), "QTRACE_VENUE": "vm"},
        }
        deadline = None if timeout is None else time.monotonic() + timeout
        self._send(b"C", json.dumps(order).encode())
        try:
            return self._wait(on_output, deadline)
        except KeyboardInterrupt:
            self._send(b"S", str(int(signal.SIGINT)).encode())
            self._end(on_output, 8.0)
            raise
        except BaseException:
            # `on_output` failed, or time is up: this command's answer must not be taken for the next one's.
            if self._process.poll() is None:
                self._end(None, 0.0)
            raise

    def _end(self, on_output: Output | None, grace: float) -> None:
        """Wait for the running command for `grace` seconds, then kill it."""
        try:
            self._wait(on_output, time.monotonic() + grace)
        except LabError:
            with contextlib.suppress(LabError):
                self._send(b"S", str(int(signal.SIGKILL)).encode())
                self._wait(None, time.monotonic() + 120)

    def _wait(self, on_output: Output | None, deadline: float | None) -> int:
        while True:
            kind, payload = self._receive(deadline)
            if kind == b"X":
                return int(payload)
            if kind in _STREAM and on_output:
                on_output(_STREAM[kind], payload)

    def _start(self, kernel: Kernel, stack: contextlib.ExitStack) -> None:
        if not shutil.which("setpriv"):
            raise MissingPrerequisite("the program 'setpriv' is missing", hint=distribution().hint("setpriv"))
        image: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (QEMU reads it until it has booted)
        stack.enter_context(image)
        image.write(machine_image(kernel, self.share))
        image.flush()
        self._socket, theirs = socket.socketpair()
        stack.callback(self._socket.close)
        with theirs:
            argv = self._argv(kernel, image.fileno(), theirs.fileno())
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=self._console,
                stderr=self._console,
                pass_fds=(image.fileno(), theirs.fileno()),
                # Ctrl-C is delivered to this process only, which passes it on to the command inside.
                process_group=0,
            )
            stack.callback(self._stop)

    def _argv(self, kernel: Kernel, image: int, link: int) -> list[str]:
        """The command line; image and link are open descriptors, so neither has a file name."""
        accelerator = self.accelerator
        folders = [("root", Path("/"), ",readonly=on")]
        folders += [(share_tag(number), path, "") for number, path in enumerate(self.share)]
        argv = [
            *(*self._emulator, "-name", "qtrace-lab-machine", "-nodefaults", "-no-user-config"),
            *("-display", "none", "-machine", "pc,usb=off", "-m", f"{self.memory}M", "-smp", str(self.cpus)),
            *("-accel", "kvm" if accelerator == "kvm" else "tcg,thread=multi,tb-size=512"),
            # Five levels of page tables under five of nested paging make everything slower by half.
            *("-cpu", "host" if accelerator == "kvm" else "max,la57=off", "-no-reboot"),
            *("-kernel", str(kernel.image), "-initrd", f"/proc/self/fd/{image}", "-append"),
            _CMDLINE + counter_words(accelerator),
            *("-serial", "stdio", "-monitor", "none"),
            *("-device", "virtio-serial-pci", "-chardev", f"socket,id=link,fd={link}"),
            *("-device", "virtserialport,chardev=link,name=qtrace"),
        ]
        for tag, path, more in folders:
            where = str(path).replace(",", ",,")
            local = f"local,id={tag},path={where},security_model=none,multidevs=remap{more}"
            argv += ["-fsdev", local, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        return argv

    def _handshake(self, deadline: float) -> None:
        # The port loses nothing: QEMU holds the greeting until the agent opens it.
        self._send(b"T", repr(time.time()).encode())
        while True:
            kind, payload = self._receive(deadline)
            if kind == b"R":
                self.release = payload.decode()
                return

    def _send(self, kind: bytes, payload: bytes) -> None:
        try:
            self._socket.sendall(kind + struct.pack(">I", len(payload)) + payload)
        except OSError as exc:
            raise MachineGone(self._epitaph()) from exc

    def _receive(self, deadline: float | None) -> tuple[bytes, bytes]:
        while True:
            if len(self._buffer) >= 5:
                (size,) = struct.unpack_from(">I", self._buffer, 1)
                if len(self._buffer) >= 5 + size:
                    frame = self._buffer[:1], self._buffer[5 : 5 + size]
                    self._buffer = self._buffer[5 + size :]
                    return frame
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._socket], [], [], left)[0]:
                raise LabError(f"the lab machine did not answer in time{self._said()}")
            try:
                data = self._socket.recv(1 << 20)
            except ConnectionResetError:  # it died before it read the last message
                data = b""
            if not data:
                raise MachineGone(self._epitaph())
            self._buffer += data

    def _epitaph(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        return f"the lab machine is gone (QEMU ended with status {self._process.poll()}){self._said()}"

    def _said(self) -> str:
        self._console.seek(0)
        text = self._console.read().decode(errors="replace").strip()
        fault = [line for line in text.splitlines() if _FAULT.search(line)]
        told = fault[:2] + [line for line in fault[2:] if "RIP: 0010" in line][:1] or text.splitlines()[-4:]
        return ": " + " / ".join(told)[-600:] if text else ""

    def _stop(self) -> None:
        """End the machine at once: nothing inside must be saved, because shared folders do not buffer."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
