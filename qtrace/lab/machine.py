"""The lab machine: a virtual machine on the host's own files, with root, KVM, vhost-net and kprobes.

What runs in it sees the host's paths, read-only below and a tmpfs above; only the shared folders are
written through. It has no network. QEMU under TCG emulates AMD's SVM with `-cpu max`, so nested guests
get `/dev/kvm` on hosts that have no hardware virtualisation.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.accel import choose_accelerator
from qtrace.lab.guest import find_qemu
from qtrace.lab.image import busybox_files, module_files, store_image
from qtrace.lab.kernel import Kernel, ensure_kernel
from qtrace.progress import SILENT, Progress

__all__ = ["LabMachine"]

_MODULES = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"]
_HEADER = struct.Struct(">cI")
_AGENT = Path(__file__).with_name("machine_agent.py")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._+@%~-]*")


class LabMachine:
    """Boots on entering, is gone on leaving. `boot_seconds` says how long it took.

    `share` are folders whose changes land on the host; everything else that is written is lost.
    Raises LabError, MissingPrerequisite.
    """

    def __init__(
        self,
        share: Sequence[Path] = (),
        memory: int = 3072,
        progress: Progress = SILENT,
        kernel: Kernel | None = None,
        boot_timeout: float = 180.0,
    ) -> None:
        self._share = [path.resolve() for path in share]
        self._memory = memory
        self._progress = progress
        self._kernel = kernel
        self._timeout = boot_timeout
        self._buffer = b""
        self._stack = contextlib.ExitStack()
        self.boot_seconds = 0.0
        self.release = ""
        self.accelerator = choose_accelerator()

    def __enter__(self) -> LabMachine:
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qtrace-")))
            self._process = self._start(home)
            stack.callback(self._end)
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            stack.callback(self._socket.close)
            deadline = began + self._timeout
            self._connect(home / "agent", deadline)
            kind, payload = self._message(deadline)
            word = json.loads(payload) if kind == b"c" else {}
            if "ready" not in word:
                raise LabError("the lab machine's agent did not come up")
            self.release = str(word["kernel"])
            self.boot_seconds = time.monotonic() - began
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(
        self,
        argv: Sequence[str],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        on_output: Callable[[str, bytes], None] | None = None,
    ) -> int:
        """Run a command inside as root; its exit status.

        `on_output` gets (`stdout` or `stderr`, bytes) as they come. Ctrl-C is passed on to the command
        and KeyboardInterrupt raised once it has ended; a second one does not wait.
        """
        order = {
            "argv": list(argv),
            "cwd": str(cwd or Path.cwd()),
            "env": {**os.environ, "QTRACE_VENUE": "vm", "HOME": str(Path.home()), **(env or {})},
        }
        self._send(order)
        interrupted = False
        while True:
            try:
                kind, payload = self._message(None)
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                self._send({"signal": int(signal.SIGINT)})
                continue
            if kind == b"c":
                word = json.loads(payload)
                if interrupted:
                    raise KeyboardInterrupt
                return int(word["exit"])
            if on_output:
                on_output("stdout" if kind == b"o" else "stderr", payload)

    def _start(self, home: Path) -> subprocess.Popen[bytes]:
        kernel = self._kernel or ensure_kernel(self._progress)
        image = store_image(
            "machine", busybox_files("machine_init.sh") | module_files(kernel, _MODULES), self._progress
        )
        for path in (kernel.modules.parent, _AGENT):
            if not _PLAIN_PATH.fullmatch(str(path)):
                raise LabError(
                    f"the lab machine cannot use the path {path}", hint="set QTRACE_CACHE to another"
                )
        shares = ":".join(base64.b64encode(str(path).encode()).decode() for path in self._share)
        argv = [
            str(find_qemu()),
            *("-name", "qtrace-lab-machine", "-nodefaults", "-no-user-config", "-display", "none"),
            *("-machine", "q35,usb=off", "-smp", "2", "-m", f"{self._memory}M"),
            *(
                ("-accel", "kvm", "-cpu", "host")
                if self.accelerator == "kvm"
                else ("-accel", "tcg,thread=multi", "-cpu", "max")
            ),
            *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny"),
            *("-kernel", str(kernel.vmlinuz), "-initrd", str(image)),
            "-append",
            "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nowatchdog audit=0 apparmor=0 "
            f"random.trust_cpu=on no_timer_check qtrace.modules={kernel.modules.parent} "
            f"qtrace.agent={_AGENT} qtrace.shares={shares}",
            *("-no-reboot", "-chardev", f"file,id=console,path={home}/console", "-serial", "chardev:console"),
            *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=qtrace"),
            *("-chardev", f"socket,id=agent,path={home}/agent,server=on,wait=off"),
            *("-virtfs", "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap"),
        ]
        for number, path in enumerate(self._share):
            if not path.is_dir():
                raise LabError(f"{path} is not a folder that can be shared with the lab machine")
            place = str(path).replace(",", ",,")
            argv += [
                "-virtfs",
                f"local,path={place},mount_tag=share{number},security_model=none,multidevs=remap",
            ]
        if not shutil.which("setpriv"):
            raise MissingPrerequisite(
                "the program 'setpriv' is missing", hint="run: apt-get install util-linux"
            )
        self._home = home
        with (home / "stderr").open("wb") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def _connect(self, path: Path, deadline: float) -> None:
        while True:
            try:
                self._socket.connect(str(path))
                return
            except OSError as exc:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise LabError(self._gone()) from exc
                time.sleep(0.02)

    def _send(self, word: Mapping[str, Any]) -> None:
        payload = json.dumps(word).encode()
        try:
            self._socket.sendall(_HEADER.pack(b"c", len(payload)) + payload)
        except OSError as exc:
            raise LabError(self._gone()) from exc

    def _message(self, deadline: float | None) -> tuple[bytes, bytes]:
        """The next message; `deadline` (monotonic) or None to wait as long as the machine lives."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            while True:
                if len(self._buffer) >= _HEADER.size:
                    kind, length = _HEADER.unpack_from(self._buffer)
                    if len(self._buffer) >= _HEADER.size + length:
                        payload = self._buffer[_HEADER.size : _HEADER.size + length]
                        self._buffer = self._buffer[_HEADER.size + length :]
                        return kind, payload
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if not selector.select(left):
                    raise LabError(f"the lab machine did not come up within {self._timeout:.0f} s")
                try:
                    data = self._socket.recv(1 << 20)
                except OSError:
                    data = b""
                if not data:
                    raise LabError(self._gone())
                self._buffer += data

    def _gone(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        said = ""
        for name in ("stderr", "console"):
            with contextlib.suppress(OSError):
                text = (self._home / name).read_text(errors="replace").strip()
                said = said or " / ".join(text.splitlines()[-4:])[-600:]
        return f"the lab machine ended (status {self._process.returncode})" + (f": {said}" if said else "")

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
