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
from dataclasses import dataclass
from pathlib import Path

from qtrace.distribution.identity import distribution
from qtrace.lab.guest.guest import QEMU_UID, find_qemu, unprivileged
from qtrace.lab.host.netns import Namespace, open_namespace
from qtrace.lab.host.owned import private_dir
from qtrace.lab.link.link import MAC, Link, open_link

__all__ = ["Installer", "Machine", "open_installer", "release_files"]

_BOOT = 120.0  # seconds until the shell answers, on a busy machine
_LINK = 60.0  # seconds until the first ping is answered: some drivers wait for their link
_PACKAGES = {"bookworm": "debian-installer-12-netboot-amd64", "trixie": "debian-installer-13-netboot-amd64"}
_ROW = re.compile(r"^\s*(\S+):((?:\s+\d+)+)\s+(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Machine:
    """What to start: `nic` is the argument of -device without netdev= and mac=, `driver` the module with its
    parameters, `settings` what is done before the link is brought up."""

    nic: str
    netdev: str = "tap"
    machine: str = "pc"
    driver: str = ""
    release: str = "bookworm"
    settings: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """The type, without its properties."""
        return self.nic.partition(",")[0]

    def __str__(self) -> str:
        words = (self.nic, self.driver, self.machine, self.netdev, self.release)
        return "-".join(re.sub(r"[^A-Za-z0-9_.=]+", "-", word) for word in words if word)


def release_files(release: str) -> tuple[Path, Path]:
    """(kernel, initramfs) of the release's installer for a text console. Raises MissingPrerequisite."""
    own = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    folder = distribution().fetch_package(_PACKAGES[release], suite="" if release == own else release)
    found = next(folder.glob("usr/lib/debian-installer/images/*/amd64/text/debian-installer/amd64"))
    return found / "linux", found / "initrd.gz"


class Installer:
    """A running one, its NIC up and answered to."""

    def __init__(
        self, machine: Machine, space: Namespace, link: Link, process: subprocess.Popen[bytes]
    ) -> None:
        self.machine, self.space, self.link = machine, space, link
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
        until = until or time.monotonic() + 60
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
        """Load the driver, address the NIC, wait until the host answers."""
        machine, link = self.machine, self.link
        if machine.model.startswith("virtio"):
            self.sh("modprobe virtio_pci; modprobe virtio_net")
        if machine.driver:
            self.sh(f"modprobe {machine.driver}")
        until = time.monotonic() + _LINK
        while "eth0" not in self.sh("ls /sys/class/net"):
            assert time.monotonic() < until, self.sh("dmesg | tail -n 5")
        for setting in machine.settings:
            self.sh(setting)
        self.sh("echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6; true")
        self.sh(f"ip link set eth0 up; ip addr add {link.guest_addr}/24 dev eth0")
        while "1 packets received" not in self.sh(f"ping -c 1 -W 1 {link.host_addr}; true"):
            assert time.monotonic() < until, "the host does not answer the guest"

    def ping(self, count: int) -> None:
        """Exactly so many echo requests, all answered."""
        said = self.sh(f"ping -c {count} {self.link.host_addr}")
        assert f"{count} packets transmitted, {count} packets received" in said, said

    def frames(self) -> tuple[int, int]:
        """(sent, received) by the guest's own account."""
        row = next(row for row in self.sh("cat /proc/net/dev").splitlines() if "eth0:" in row)
        numbers = [int(number) for number in row.partition(":")[2].split()]
        return numbers[9], numbers[1]

    def interrupts(self) -> dict[str, int]:
        """Line of /proc/interrupts -> how often: those named after the interface, or the virtio device."""
        names = re.compile(r"eth0|virtio0|virtio\d+-(input|output)")
        found = {}
        for line, counts, name in _ROW.findall(self.sh("cat /proc/interrupts")):
            if names.search(name):
                found[f"{line} {name}"] = sum(map(int, counts.split()))
        return found


@contextlib.contextmanager
def open_installer(machine: Machine) -> Iterator[Installer]:
    """Boot it in a namespace of its own; gone when the block ends."""
    kernel, initrd = release_files(machine.release)
    with open_namespace() as space, open_link(space, machine.netdev) as link, private_dir(QEMU_UID) as home:
        with kernel.open("rb") as image, initrd.open("rb") as root, (home / "stderr").open("wb") as log:
            argv = [
                *(str(find_qemu()), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
                *("-machine", machine.machine, "-accel", "tcg", "-cpu", "max", "-m", "512M"),
                *("-kernel", f"/proc/self/fd/{image.fileno()}", "-initrd", f"/proc/self/fd/{root.fileno()}"),
                *("-append", "console=ttyS0 quiet loglevel=1 rdinit=/bin/sh no_timer_check"),
                *("-chardev", f"socket,id=serial,path={home}/serial,server=on,wait=off"),
                *("-serial", "chardev:serial", "-netdev", link.option, *link.more),
                *(("-device", "qemu-xhci") if machine.nic.startswith("usb-") else ()),
                *("-device", f"{machine.nic},netdev=net0,mac={MAC}"),
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
            guest = Installer(machine, space, link, process)
            guest.connect(home)
            guest.bring_up()
            yield guest
        finally:
            process.kill()
            process.wait()
