"""Inside the lab machine: runs one command at a time for the host. The machine's process number 1.

It is started by the host's own Python before anything else is there, so it imports the standard library
only. Messages are one byte of kind, four of length (big endian), and the payload: `c` is JSON (a command
or a word about it), `o` and `e` are a command's output.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import struct
import subprocess
import time
from typing import BinaryIO

_MODULES = ("kvm_amd", "kvm_intel", "vhost_net", "tun")


def _port() -> str:
    """The device of the port that the host named `qtrace`."""
    for _ in range(200):
        for entry in os.scandir("/sys/class/virtio-ports"):
            try:
                with open(f"{entry.path}/name") as name:  # noqa: PTH123 (pathlib is slow to import here)
                    if name.read().strip() == "qtrace":
                        return f"/dev/{entry.name}"
            except OSError:
                continue
        time.sleep(0.02)
    raise SystemExit("the host's port did not come up")


class _Line:
    """The connection to the host."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR)
        self.buffer = b""

    def send(self, kind: bytes, payload: bytes) -> None:
        data = kind + struct.pack(">I", len(payload)) + payload
        while data:
            data = data[os.write(self.fd, data) :]

    def say(self, **word: object) -> None:
        self.send(b"c", json.dumps(word).encode())

    def read(self) -> list[dict[str, object]]:
        """What the host has said; an empty read is the host hanging up."""
        data = os.read(self.fd, 65536)
        if not data:
            time.sleep(0.05)
            return []
        self.buffer += data
        words = []
        while len(self.buffer) >= 5:
            (length,) = struct.unpack(">I", self.buffer[1:5])
            if len(self.buffer) < 5 + length:
                break
            words.append(json.loads(self.buffer[5 : 5 + length]))
            self.buffer = self.buffer[5 + length :]
        return words


def _run(line: _Line, order: dict[str, object]) -> None:
    argv, env = order["argv"], order["env"]
    assert isinstance(argv, list) and isinstance(env, dict)
    try:
        child = subprocess.Popen(
            argv,
            cwd=str(order["cwd"]),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as exc:
        line.send(b"e", f"{argv[0]}: {exc.strerror}\n".encode())
        line.say(exit=127)
        return
    with selectors.DefaultSelector() as selector:
        selector.register(line.fd, selectors.EVENT_READ)
        pipes: dict[int, bytes] = {}
        for pipe, kind in ((child.stdout, b"o"), (child.stderr, b"e")):
            assert pipe is not None
            pipes[pipe.fileno()] = kind
            selector.register(pipe, selectors.EVENT_READ)
        while pipes:
            for key, _ in selector.select():
                if key.fd == line.fd:
                    for word in line.read():
                        if "signal" in word:
                            with contextlib.suppress(OSError):
                                os.killpg(child.pid, int(str(word["signal"])))
                    continue
                data = os.read(key.fd, 65536)
                if data:
                    line.send(pipes[key.fd], data)
                else:
                    selector.unregister(key.fileobj)
                    del pipes[key.fd]
    status = child.wait()
    line.say(exit=status if status >= 0 else 128 - status)


def _load_modules() -> list[str]:
    loaded = []
    for name in _MODULES:
        said = subprocess.run(["/sbin/modprobe", name], capture_output=True)
        if said.returncode == 0:
            loaded.append(name)
    for device in ("/dev/kvm", "/dev/net/tun"):
        with contextlib.suppress(OSError):
            os.chmod(device, 0o666)  # noqa: PTH101
    return loaded


def _write(path: str, text: str) -> None:
    with contextlib.suppress(OSError):
        handle: BinaryIO = open(path, "wb")  # noqa: PTH123, SIM115
        with handle:
            handle.write(text.encode())


def main() -> None:
    """Say that we are there, and do what the host says until it hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    line = _Line(_port())
    _write("/proc/sys/kernel/kptr_restrict", "0")
    _write("/proc/sys/kernel/perf_event_paranoid", "-1")
    line.say(ready=_load_modules(), kernel=os.uname().release)
    while True:
        for word in line.read():
            if "argv" in word:
                _run(line, word)
            elif "poweroff" in word:
                os.sync()
                _write("/proc/sysrq-trigger", "o")


if __name__ == "__main__":
    main()
