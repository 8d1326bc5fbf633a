"""The lab machine's first process: carries out the commands of `machine`, one at a time.

machine_init.sh starts it with the host's /usr/bin/python3 and only the standard library, so that it starts
quickly. In both directions over the virtio-serial port `qtrace`, a frame is one byte of kind, four of length
(big endian) and the payload:

to the agent    C  {"argv", "cwd", "env", "cpus"}  run it    S  a signal's number, in decimal
from the agent  R  {"release", …}: ready       O, E  output on stdout, stderr
                X  exit status in decimal (negative: the signal that ended it)
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import struct
import sys
import time
from pathlib import Path

__all__ = ["main"]

_KVM_CREATE_VM = 0xAE01  # linux/kvm.h
_KVM = {"svm": "kvm_amd", "vmx": "kvm_intel"}


def _spawn(*argv: str) -> int:
    """Run a tool and wait for its end; its output goes to the console."""
    return os.waitstatus_to_exitcode(os.waitpid(os.posix_spawnp(argv[0], argv, os.environ), 0)[1])


def _find_port() -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for name in Path("/sys/class/virtio-ports").glob("*/name"):
            if name.read_text().strip() == "qtrace":
                return os.open(f"/dev/{name.parent.name}", os.O_RDWR | os.O_CLOEXEC)
        time.sleep(0.01)
    sys.exit("no virtio-serial port named qtrace")


def _prepare(modules: str, host_time: float) -> None:
    """Set up the clock, modules, devices and loopback, which programs inside expect."""
    time.clock_settime(time.CLOCK_REALTIME, host_time)
    home = Path("/lib/modules", os.uname().release)
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        home.symlink_to(modules)
    flags = set(Path("/proc/cpuinfo").read_text().split())
    wanted = [module for flag, module in _KVM.items() if flag in flags]
    _spawn("modprobe", "-a", *wanted, "vhost_net", "tun")
    _spawn("ip", "link", "set", "lo", "up")
    for name in ("kvm", "vhost-net", "net/tun"):
        device = Path("/dev", name)
        if device.exists():
            device.chmod(0o666)
    _keep_a_vm()


def _keep_a_vm() -> None:
    """Keep an empty VM as long as the machine runs.

    The creation of the first VM and the end of the last make the kernel patch its scheduler
    (preempt_notifier_key). QEMU before 8.1 may continue with its translation of the half-patched code, and
    the machine hangs.
    """
    with contextlib.suppress(OSError):
        fcntl.ioctl(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC), _KVM_CREATE_VM, 0)


class _Link:
    """The port, read and written in frames."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.buffer = b""

    def send(self, kind: bytes, payload: bytes) -> None:
        data = kind + struct.pack(">I", len(payload)) + payload
        while data:
            data = data[os.write(self.fd, data[:32768]) :]

    def receive(self) -> tuple[bytes, bytes]:
        """Wait for the next frame. Powers off if the host has closed the port."""
        while True:
            if len(self.buffer) >= 5:
                (size,) = struct.unpack_from(">I", self.buffer, 1)
                if len(self.buffer) >= 5 + size:
                    frame = self.buffer[:1], self.buffer[5 : 5 + size]
                    self.buffer = self.buffer[5 + size :]
                    return frame
            self.more()

    def more(self) -> None:
        data = os.read(self.fd, 65536)
        if not data:
            _power_off()
        self.buffer += data


def _power_off() -> None:
    os.sync()
    _spawn("busybox", "poweroff", "-f")
    signal.pause()


def _run(link: _Link, order: dict[str, object]) -> int:
    """Run one command and stream its output; its exit status, negative for a signal, 127 if it cannot
    start."""
    argv, cwd, env, cpus = order["argv"], order["cwd"], order["env"], order["cpus"]
    assert (
        isinstance(argv, list) and isinstance(cwd, str) and isinstance(env, dict) and isinstance(cpus, list)
    )
    pipes = {name: os.pipe() for name in ("O", "E")}
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            os.sched_setaffinity(0, cpus)
            for handled in (signal.SIGINT, signal.SIGPIPE, signal.SIGTERM):
                signal.signal(handled, signal.SIG_DFL)
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(pipes["O"][1], 1)
            os.dup2(pipes["E"][1], 2)
            os.chdir(cwd)
            os.execvpe(argv[0], argv, env)
        except OSError as exc:
            os.write(2, f"{argv[0]}: {exc.strerror} (in the lab machine)\n".encode())
        finally:
            os._exit(127)
    names = {}
    for name, (reader, writer) in pipes.items():
        os.close(writer)
        names[reader] = name.encode()
    status: int | None = None
    while True:
        # After the command's end, only the output already in the pipes counts: a surviving child may hold
        # them open for ever.
        ready = select.select([*names, link.fd], [], [], 0.02 if status is None else 0)[0]
        for fd in ready:
            if fd == link.fd:
                _pass_signals(link, pid)
                continue
            data = os.read(fd, 32768)
            if data:
                link.send(names[fd], data)
            else:
                os.close(fd)
                del names[fd]
        if status is not None and not any(fd in names for fd in ready):
            break
        if status is None:
            status = _reap(pid)
    for fd in names:
        os.close(fd)
    return status


def _pass_signals(link: _Link, pid: int) -> None:
    link.more()
    while len(link.buffer) >= 5:
        kind, payload = link.receive()
        if kind == b"S":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, int(payload))


def _reap(wanted: int) -> int | None:
    """Collect ended processes (orphans become children of this one); the wanted one's status if it ended."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == wanted:
            found = os.waitstatus_to_exitcode(status)


def main() -> None:
    """`argv`: the folder with the kernel's modules."""
    link = _Link(_find_port())
    _, hello = link.receive()
    _prepare(sys.argv[1], float(hello))
    link.send(b"R", os.uname().release.encode())
    while True:
        kind, payload = link.receive()
        if kind == b"C":
            link.send(b"X", str(_run(link, json.loads(payload))).encode())


if __name__ == "__main__":
    main()
