"""A QEMU as a witness: started paused, without a guest, in namespaces of its own.

Nothing of the host's network is reached: the process is nobody outside and root in a namespace that has a
loopback and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from program import Program

from qtrace.explain.explanation import Reader

INSTALLED = Program("qemu-system-x86_64")
PAUSED = ("-S", "-display", "none", "-monitor", "none", "-serial", "none", "-parallel", "none")
INSIDE = 'ip link set lo up; ip route add 224.0.0.0/4 dev lo; exec "$@"'
# Two bridges, and leave to use them: /etc is another one in this mount namespace alone.
BRIDGED = """ip link add br0 type bridge; ip link add br1 type bridge; ip link set br0 up; ip link set br1 up
mount -t tmpfs none /mnt; mkdir /mnt/qemu; echo 'allow all' > /mnt/qemu/bridge.conf
mount -t overlay none -o lowerdir=/mnt:/etc /etc; """
_CLIENT = re.compile(r"(.*?): index=(\d+),type=([\w-]+),(.*)")
_FILTER = re.compile(r"  - (.*?): type=([\w-]+)")
_GENERATED = re.compile(r"#net(\d+)\d\d\b")


@dataclass(frozen=True)
class Release:
    """How explain reads a release, and a program of it."""

    reader: Reader
    program: Program

    @property
    def name(self) -> str:
        """`earlier` (Debian 12's) or `newer`: which lines it takes."""
        return "earlier" if int(self.reader.index.meta["qemu"].split(".")[0]) < 8 else "newer"


@dataclass
class Account:
    """What QEMU says of its network, in the words of explain's JSON."""

    refused: str = ""
    nics: dict[str, dict[str, Any]] = field(default_factory=dict)
    netdevs: dict[str, dict[str, Any]] = field(default_factory=dict)
    hubs: dict[int, dict[str, str | None]] = field(default_factory=dict)
    devices: list[tuple[str, str, str]] = field(default_factory=list)
    filters: list[tuple[str, str, str]] = field(default_factory=list)  # (back end, filter, its type)
    properties: dict[str, dict[str, str]] = field(default_factory=dict)  # by MAC address
    info: dict[str, str] = field(default_factory=dict)  # a back end's options, as QEMU prints them
    addresses: list[tuple[str, str]] = field(default_factory=list)  # (PCI device, slot)


class Witnesses:
    """Lines that were asked, so that each is started once: two at a time."""

    def __init__(self, home: Path, pool: ThreadPoolExecutor) -> None:
        self._home, self._pool = home, pool
        self._asked: dict[tuple[str, ...], Future[Account]] = {}

    def ask(self, release: Release, line: str, needs: str = "") -> Future[Account]:
        """The answer of a release's program, to come."""
        argv = shlex.split(line)
        key = (release.name, needs, *argv)
        if key not in self._asked:
            self._asked[key] = self._pool.submit(ask, argv, self._home, needs, release.program)
        return self._asked[key]


def ask(argv: Sequence[str], home: Path, needs: str = "", program: Program = INSTALLED) -> Account:
    """Start a QEMU with these arguments in `home` and ask it; `refused` is what it said if it did not start.

    For `needs` as in the corpus it stays root: in a user namespace, so of that namespace and of files.
    """
    with tempfile.TemporaryDirectory(prefix="explain-") as own:
        folder = Path(own)
        folder.chmod(0o777)
        monitor = folder / "qmp"
        inside = (BRIDGED if needs == "bridge" else "") + INSIDE
        command = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--", "sh", "-c", inside, "sh"]
        command += [program.path, *PAUSED, "-qmp", f"unix:{monitor},server=on,wait=off"]
        command += [*([] if "accel" in " ".join(argv) else ["-accel", "tcg"]), *argv]
        if not needs and os.geteuid() == 0:
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", *command]
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=home,
                env=os.environ | program.environment,
            )
        try:
            return _ask(process, monitor, folder / "said")
        finally:
            process.kill()
            process.wait()


def _ask(process: subprocess.Popen[bytes], monitor: Path, said: Path) -> Account:
    deadline = time.monotonic() + 120
    while True:
        if process.poll() is not None:
            return Account(refused=said.read_text(errors="replace").strip() or "it ended without a word")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.connect(str(monitor))
            line.settimeout(120)
            try:
                return _account(line)
            except (OSError, ValueError):
                process.wait(120)  # it has opened its monitor and refuses all the same
                continue
        assert time.monotonic() < deadline, said.read_text(errors="replace")
        time.sleep(0.01)


def _account(line: socket.socket) -> Account:
    stream = line.makefile("rw")
    json.loads(stream.readline())

    def run(name: str, **arguments: object) -> Any:
        stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        stream.flush()
        while "event" in (answer := json.loads(stream.readline())):
            pass
        return answer["return"]

    run("qmp_capabilities")
    account = Account()
    _network(account, run("human-monitor-command", **{"command-line": "info network"}))
    _devices(account, run("human-monitor-command", **{"command-line": "info qtree"}))
    with contextlib.suppress(OSError, ValueError):
        run("quit")
    return account


def _network(account: Account, text: str) -> None:
    hub: int | None = None
    nic: str | None = None
    last = ""
    for line in text.replace("\r", "").split("\n"):
        line = _GENERATED.sub(r"#net\1", line)
        if not line.strip() or line == "filters:":
            continue
        if match := _FILTER.match(line):
            account.filters.append((last, match[1], match[2]))
            continue
        if match := re.match(r"hub (-?\d+)$", line):
            hub, nic = int(match[1]), None
            account.hubs[hub] = {}
            continue
        inner = line.startswith(" \\ ")
        body = line[3:] if inner else line
        if inner and hub is not None:
            port, _, rest = body.partition(": ")
            client = _CLIENT.match(rest)
            if client is None:
                account.hubs[hub][port] = None
                continue
            name = last = _client(account, client)
            account.hubs[hub][port] = name
            table = account.nics if client[3] == "nic" else account.netdevs
            if name in table:
                table[name]["peer"] = port
            continue
        hub = None
        client = _CLIENT.match(body)
        assert client, line
        last = client[1]
        if not inner:
            nic = client[1] if client[3] == "nic" else None
            if nic is not None and client[2] != "0":
                nic = ""  # another queue of the one before
            _client(account, client)
        else:
            name = _client(account, client)
            if nic:
                account.nics[nic]["peer"] = name
                account.netdevs[name]["peer"] = nic


def _client(account: Account, match: re.Match[str]) -> str:
    name, number, kind, rest = match.groups()
    if kind == "nic":
        if number == "0":
            facts = dict(part.split("=", 1) for part in rest.split(",") if "=" in part)
            account.nics[name] = {"type": facts.get("model"), "mac": facts.get("macaddr"), "peer": None}
    elif kind != "hubport":
        # Of a connection that is still being made, or has failed meanwhile, QEMU says now this, now that.
        passing = kind == "stream" or rest.startswith("socket: connect")
        account.info[name] = "" if passing else re.sub(r"fd=\d+", "fd", rest)
        entry = account.netdevs.setdefault(name, {"type": kind, "peer": None, "queues": 0})
        entry["queues"] += 1
    return name


def _devices(account: Account, text: str) -> None:
    """(type, MAC, peer) of each device with a netdev property, from the device tree."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in text.replace("\r", "").split("\n"):
        line = _GENERATED.sub(r"#net\1", line)
        if match := re.match(r'\s*dev: ([\w.-]+), id "(.*)"', line):
            found.append((match[1], {}))
        elif found and (match := re.match(r"\s+addr = ([0-9a-f.]+)", line)):
            account.addresses.append((found[-1][0], match[1]))
        elif found and (match := re.match(r"\s+([\w-]+) = (.*)", line)):
            found[-1][1][match[1]] = match[2].strip('"')
    for place, (kind, values) in enumerate(found):
        if values.get("mac"):
            account.devices.append((kind, values["mac"], values.get("netdev", "")))
            # A virtio device is inside of another, which has the properties of its bus.
            outer = found[place - 1][1] if kind == "virtio-net-device" and place else {}
            account.properties.setdefault(values["mac"], outer | values)
