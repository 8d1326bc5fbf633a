"""What a QEMU does with `vhost=on` where /dev/vhost-net is not there: started in two releases.

Each is paused and without a guest, in a user, network and mount namespace of its own, whose /dev has
/dev/net/tun and no vhost-net, whatever the host has.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from program import Program, unpack_program

__all__ = ["LINES", "Outcome", "programs", "try_line", "vhost_table"]

_TAP = "-netdev tap,id=t,script=no,downscript=no"
_VIRTIO = "-device virtio-net-pci,netdev=t"
LINES = (
    f"{_TAP},vhost=off {_VIRTIO}",
    f"{_TAP},vhost=on {_VIRTIO}",
    f"{_TAP},vhost=on -device e1000,netdev=t",
    f"{_TAP},vhostforce=on {_VIRTIO}",
    f"{_TAP},vhost=on,vhostforce=on {_VIRTIO}",
    "-nic tap,script=no,downscript=no,vhost=on,model=virtio",
)
_OPTION = re.compile(r"-(?:netdev|nic) \S+: ")
_ASSERTION = re.compile(r"([\w-]+/[\w-]+\.c:\d+): (\w+): Assertion ")
_PAUSED = ("-S", "-nodefaults", "-display", "none", "-monitor", "none", "-accel", "tcg")
_PATIENCE = 120.0  # seconds until a QEMU has ended or answers
# The node of tun alone: bound into an empty /dev, which the namespace then has for its own.
_INSIDE = (
    "mkdir /mnt/net 2>/dev/null; mount -t tmpfs none /mnt && mkdir -p /mnt/net && touch /mnt/net/tun "
    "/mnt/null /mnt/urandom && for node in net/tun null urandom; do mount --bind /dev/$node /mnt/$node; done "
    '&& mount --rbind /mnt /dev && exec "$@"'
)


@dataclass(frozen=True)
class Outcome:
    """`ended`: how it ended, empty where it runs; `said` is what it printed."""

    ended: str
    said: tuple[str, ...]

    def __str__(self) -> str:
        words = [self.ended or "runs", *dict.fromkeys(map(_in_short, self.said))]
        return "; ".join(words)


@contextlib.contextmanager
def programs() -> Iterator[dict[str, Program]]:
    """Version -> program: the installed one, and Debian 13's series. Raises MissingPrerequisite."""
    with tempfile.TemporaryDirectory(prefix="qtrace-qemu-") as name:
        found = (Program("qemu-system-x86_64"), unpack_program(Path(name)))
        yield {program.said("-version").split("version ")[1].split("\n")[0]: program for program in found}


def try_line(program: Program, line: str) -> Outcome:
    """Start it with this line."""
    command = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--", "sh", "-c", _INSIDE, "sh"]
    ours, theirs = socket.socketpair()
    monitor = ("-chardev", f"socket,id=asked,fd={theirs.fileno()}", "-mon", "chardev=asked,mode=control")
    command += [program.path, *_PAUSED, *monitor, *shlex.split(line)]
    with ours, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=os.environ | program.environment,
            cwd="/",
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        try:
            ours.settimeout(_PATIENCE)
            ended = "" if _answers(ours) else _ended(process.wait(_PATIENCE))
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        printed = said.read().decode(errors="replace").splitlines()
    return Outcome(ended, tuple(line.strip() for line in printed if line.strip()))


def _answers(monitor: socket.socket) -> bool:
    """Whether a QEMU executes a command, which it does when it has made all of its devices; else it ends."""
    with contextlib.suppress(OSError), monitor.makefile("rw") as stream:
        for name in ("qmp_capabilities", "query-status"):
            stream.write(json.dumps({"execute": name}) + "\n")
        stream.flush()
        return any('"running"' in line for line in stream)
    return False


def _in_short(line: str) -> str:
    """A line that QEMU printed, without its name and the option; of an assertion only where it stands."""
    if found := _ASSERTION.search(line):
        return f"a failed assertion in `{found[2]}` ({found[1]})"
    return _OPTION.sub("", line.partition(": ")[2] or line)


def _ended(status: int | None) -> str:
    if status is None:
        return ""
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"ends with status {status}"


def vhost_table() -> str:
    """The part of the page: a row for each line, a column for each release."""
    with programs() as known:
        rows = [
            "Lines started without /dev/vhost-net, paused, in each release:",
            "",
            f"| line | {' | '.join(f'QEMU {version}' for version in known)} |",
            f"| --- |{' --- |' * len(known)}",
        ]
        for line in LINES:
            cells = [str(try_line(program, line)).replace("|", "\\|") for program in known.values()]
            rows.append(f"| `{line}` | {' | '.join(cells)} |")
    return "\n".join(rows)
