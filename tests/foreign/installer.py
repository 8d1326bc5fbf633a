"""A guest that nobody here built: Debian's installer, its kernel and initramfs as they are, driven over the
serial console.

What it says of itself (/proc/net/dev, /proc/interrupts) is the truth that the counts are held against.
"""

from __future__ import annotations

import contextlib
import platform
import re
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from machines import Machine

from qtrace.distribution.identity import distribution
from qtrace.lab.guest.guest import QEMU_UID, unprivileged
from qtrace.lab.host.netns import Namespace, open_namespace
from qtrace.lab.host.owned import private_dir
from qtrace.lab.link.link import MAC, Link, open_link
from qtrace.lab.link.tap import open_queues, set_up

__all__ = ["Installer", "Undriven", "open_installer", "release_files"]

_BOOT = 600.0  # seconds until the shell answers, on a busy machine
_LINK = 300.0  # seconds until the first ping is answered: some drivers wait for their link
_PACKAGES = {"bookworm": "debian-installer-12-netboot-amd64", "trixie": "debian-installer-13-netboot-amd64"}
_ROW = re.compile(r"^\s*(\S+):((?:\s+\d+)+)\s+(.*)$", re.MULTILINE)
_HOST, _GUEST = "192.168.76.1", "192.168.76.2"  # of a tap with several queues
# Bytes of echo requests: a small frame and a large one. One that takes several frames would have the card
# interrupt more than once before the guest looks, and of one vector two that wait are one to its processor.
_SIZES = (56, 1400)
_APPEND = "console=ttyS0 quiet loglevel=1 rdinit=/bin/sh no_timer_check"
# microvm under TCG has no clock that Linux could measure its processor by; how fast its own runs matters not.
_CLOCK = "tsc_early_khz=2000000"
_REFUSED = "use 8139cp"  # 8139too does not drive the chip with C+ mode, which QEMU's is
_NO_ROM = ("virtio-net-device", "usb-net")  # no PCI device


class Undriven(Exception):
    """The guest has no use of the card, before anything is traced; the message says why."""


def release_files(release: str) -> tuple[Path, Path]:
    """(kernel, initramfs) of the release's installer for a text console. Raises MissingPrerequisite."""
    own = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    folder = distribution().fetch_package(_PACKAGES[release], suite="" if release == own else release)
    found = next(folder.glob("usr/lib/debian-installer/images/*/amd64/text/debian-installer/amd64"))
    return found / "linux", found / "initrd.gz"


class Installer:
    """A running one, its NIC up and answered to."""

    def __init__(self, machine: Machine, link: Link, process: subprocess.Popen[bytes]) -> None:
        self.machine, self.link = machine, link
        self.interface = "eth0"
        self._process = process
        self._line = socket.socket(socket.AF_UNIX)
        self._said = b""
        self._commands = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def connect(self, home: Path) -> None:
        """Wait for the shell, quiet it."""
        until = time.monotonic() + _BOOT
        while True:
            assert self._process.poll() is None, (home / "stderr").read_text()
            assert time.monotonic() < until, "QEMU does not open its serial line"
            try:
                self._line.connect(str(home / "serial"))
                break
            except OSError:
                self._line.close()
                self._line = socket.socket(socket.AF_UNIX)
                time.sleep(0.02)
        self._line.setblocking(False)
        self._wait(b"# ", until)
        self.sh("mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; true", until)

    def sh(self, command: str, until: float | None = None) -> str:
        """What the guest's shell says; it must succeed. The console echoes the line that was typed."""
        self._commands += 1
        mark = f"__{self._commands}_"
        self._line.sendall(f"{command}; echo _{mark[1:]}''$?_\n".encode())
        text = self._wait(re.compile(rb"\r?\n_" + mark[1:].encode() + rb"(\d+)_"), until)
        status, said = self._status, text.partition("\n")[2].replace("\r", "")
        assert status == 0, f"{command}: {status}: {said}"
        return said

    def _wait(self, end: bytes | re.Pattern[bytes], until: float | None = None) -> str:
        until = until or time.monotonic() + 300
        pattern = end if isinstance(end, re.Pattern) else re.compile(re.escape(end))
        while not (found := pattern.search(self._said)):
            left = until - time.monotonic()
            assert left > 0, f"the guest does not answer: {self._said[-500:]!r}"
            if select.select([self._line], [], [], left)[0]:
                data = self._line.recv(65536)
                assert data, f"the guest has ended: {self._said[-500:]!r}"
                self._said += data
        text, self._said = self._said[: found.start()], self._said[found.end() :]
        self._status = int(found[1]) if found.re.groups else 0
        return text.decode(errors="replace")

    def bring_up(self) -> None:
        """Load the driver, address the NIC, wait until the host answers. Raises Undriven."""
        for module in self.machine.driver.split("; "):
            self.sh(f"modprobe {module}; true")
        until = time.monotonic() + _LINK
        while not (found := re.findall(r"(?:eth|usb)\d+", self.sh("ls /sys/class/net"))):
            kernel = [line.partition("] ")[2] for line in self.sh("dmesg | tail -n 5").splitlines()]
            refused = [line for line in kernel if _REFUSED in line]
            if refused or time.monotonic() > until:
                raise Undriven(f"its driver says: {' / '.join(refused or kernel)}")
            time.sleep(0.2)
        self.interface = found[0]
        self.sh(f"echo 1 > /proc/sys/net/ipv6/conf/{self.interface}/disable_ipv6; true")
        # A day until it asks again whether the host's address is still the same one.
        self.sh(f"echo 86400000 > /proc/sys/net/ipv4/neigh/{self.interface}/base_reachable_time_ms")
        address = f"ip addr add {self.link.guest_addr}/24 dev {self.interface}"
        self.sh(f"ip link set {self.interface} up; {address}")
        while "1 packets received" not in self.sh(f"ping -c 1 -W 1 {self.link.host_addr}; true"):
            if time.monotonic() > until:
                errors = self.sh(f"cat /sys/class/net/{self.interface}/statistics/rx_errors")
                refused = int(errors.split()[-1]) > 0
                why = "; its driver refuses what comes as damaged (explain: short-frames)" * refused
                raise Undriven(f"no frame of its passes, traced or not: the host does not answer{why}")

    def ping(self, each: int) -> int:
        """So many echo requests of each size, one after the other, all answered; gives how many."""
        numbers = " ".join(map(str, range(each)))
        once = f"ping -c 1 -W 60 -s $size {self.link.host_addr} >/dev/null && all=$((all + 1))"
        sizes = " ".join(map(str, _SIZES))
        said = self.sh(f"all=0; for n in {numbers}; do for size in {sizes}; do {once}; done; done; echo $all")
        assert said.split()[-1] == str(each * len(_SIZES)), said  # the console breaks long lines
        return each * len(_SIZES)

    def remarks(self) -> list[str]:
        """What the guest's kernel says of interrupts that do not work as its driver was told."""
        said = self.sh("dmesg | grep -i 'interrupt test failed'; true")
        return [
            line.partition("] ")[2] for line in said.splitlines() if "test failed" in line and "] " in line
        ]

    def frames(self) -> tuple[int, int]:
        """(sent, received) by the guest's own account."""
        rows = self.sh("cat /proc/net/dev").splitlines()
        row = next(row for row in rows if f"{self.interface}:" in row)
        numbers = [int(number) for number in row.partition(":")[2].split()]
        return numbers[9], numbers[1]

    def interrupts(self) -> dict[str, int]:
        """Line of /proc/interrupts -> how often: those named after the interface, or the virtio device; those
        of a USB card's host controller."""
        names = re.compile(rf"\b{self.interface}\b|virtio\d+\b|virtio\d+-|xhci")
        found = {}
        for line, counts, name in _ROW.findall(self.sh("cat /proc/interrupts")):
            if names.search(name):
                found[f"{line} {' '.join(name.split())}"] = sum(map(int, counts.split()))
        return found


@contextlib.contextmanager
def _open_link(space: Namespace, machine: Machine) -> Iterator[Link]:
    if machine.queues == 1:
        with open_link(space, machine.netdev) as link:
            yield link
        return
    with open_queues(space, "tap0", machine.queues) as queues:
        set_up(space, "tap0", f"{_HOST}/24", _GUEST, MAC)
        option = f"tap,id=net0,fds={':'.join(map(str, queues))}"
        yield Link(option, _HOST, _GUEST, "", (_GUEST, 9), "tap0", tuple(queues))


@contextlib.contextmanager
def open_installer(machine: Machine, program: Path) -> Iterator[Installer]:
    """Boot it in a namespace of its own, in the QEMU `program`; gone when the block ends. Raises Undriven."""
    kernel, initrd = release_files(machine.release)
    with open_namespace() as space, _open_link(space, machine) as link, private_dir(QEMU_UID) as home:
        with kernel.open("rb") as image, initrd.open("rb") as root, (home / "stderr").open("wb") as log:
            rom = "" if machine.model in _NO_ROM else ",romfile="
            argv = [
                *(str(program), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
                *("-machine", machine.machine, "-accel", "tcg", "-cpu", "max", "-m", "512M"),
                *("-smp", str(machine.queues)),
                *("-kernel", f"/proc/self/fd/{image.fileno()}", "-initrd", f"/proc/self/fd/{root.fileno()}"),
                *("-append", f"{_APPEND} {_CLOCK if machine.machine == 'microvm' else ''}"),
                *("-chardev", f"socket,id=serial,path={home}/serial,server=on,wait=off"),
                *("-serial", "chardev:serial", "-netdev", link.option, *link.more),
                *(("-device", "qemu-xhci") if machine.usb else ()),
                *("-device", f"{machine.nic},netdev=net0,mac={MAC}{rom}"),
            ]
            process = subprocess.Popen(
                space.argv(unprivileged(argv, "tcg")),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(*link.fds, image.fileno(), root.fileno()),
                process_group=0,
            )
        try:
            guest = Installer(machine, link, process)
            guest.connect(home)
            guest.bring_up()
            yield guest
        finally:
            process.kill()
            process.wait()
