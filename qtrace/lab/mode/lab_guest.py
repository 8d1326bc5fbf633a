"""A guest of a lab: its QEMU command line, which can be copied, and its process."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qtrace.lab.guest.clock import counter_words
from qtrace.lab.guest.guest import CMDLINE, Guest, GuestSpec, find_qemu, unprivileged
from qtrace.lab.host.netns import Namespace
from qtrace.lab.link.tap import private_tun

__all__ = ["Boot", "start_lab_guest"]

_KERNEL, _INITRD = 8, 9  # descriptors: a shell's redirection allows only one digit


@dataclass(frozen=True, slots=True)
class Boot:
    """The guest to start: see `Seat` for fields of the same names."""

    name: str
    nic: str
    mac: str
    netdev: tuple[str, ...]
    address: str
    gateway: str
    kernel: Path
    initrd: Path
    accelerator: str
    private: tuple[str, ...] = ()
    redirect: str = ""
    spawns: bool = False
    more: tuple[str, ...] = ()
    memory: int = 128  # MiB

    def qemu(self, home: Path) -> list[str]:
        """QEMU's command line; its sockets are in `home`."""
        # The filter itself prevents gaining rights (libseccomp: no_new_privs).
        sandbox = () if self.spawns else ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny")
        words = f"lab_name={self.name} lab_address={self.address} lab_gateway={self.gateway}"
        usb = self.nic.startswith("usb-")
        device = f"{self.nic},netdev=net0,id=nic0,mac={self.mac}" + ("" if usb else ",romfile=")
        console = f"socket,id=console,path={home}/console.socket,server=on,wait=off,logfile={home}/console"
        return [
            *(str(find_qemu()), "-name", f"{self.name},debug-threads=on", "-nodefaults", "-no-user-config"),
            *("-display", "none", "-machine", "pc,usb=off", "-accel", self.accelerator),
            *("-cpu", "host" if self.accelerator == "kvm" else "max,la57=off", "-smp", "1"),
            *("-m", f"{self.memory}M", *sandbox, *self.more),
            *("-kernel", f"/proc/self/fd/{_KERNEL}", "-initrd", f"/proc/self/fd/{_INITRD}"),
            *("-append", f"{CMDLINE}{counter_words(self.accelerator)} {words}", "-no-reboot"),
            *("-chardev", console, "-serial", "chardev:console"),
            *("-qmp", f"unix:{home}/qmp,server=on,wait=off", "-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=agent,path={home}/agent,server=on,wait=off"),
            *("-device", "virtserialport,chardev=agent,name=qtrace"),
            *(word for item in self.netdev for word in ("-netdev", item)),
            *(("-device", "qemu-xhci") if usb else ()),
            *("-device", device),
        ]

    def argv(self, home: Path, space: Namespace) -> list[str]:
        """The whole command: enter the namespace, mount private files, open files, drop rights, run QEMU."""
        uses_tap = any(item.startswith(("tap,", "bridge,")) for item in self.netdev)
        private = (*(private_tun() if uses_tap and not self.redirect else ()), *self.private)
        redirect = f"{_KERNEL}<{shlex.quote(str(self.kernel))} {_INITRD}<{shlex.quote(str(self.initrd))}"
        script = " && ".join([*private, f'exec "$@" {redirect} {self.redirect}'.strip()])
        enter = space.argv([*(("unshare", "--mount") if private else ()), "sh", "-c", script, "qemu"])
        return [*enter, *unprivileged(self.qemu(home), self.accelerator, gains=self.spawns)]


@contextlib.contextmanager
def start_lab_guest(boot: Boot, space: Namespace, lab: Path) -> Iterator[tuple[Guest, str]]:
    """Start the guest in its folder: the guest, and the command as text for a shell.

    It is ended when the block ends, or when this process dies.
    """
    home = lab / boot.name
    argv = boot.argv(home, space)
    with (home / "stderr").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0)
    spec = GuestSpec(boot.nic, boot.netdev[0], boot.mac, boot.kernel, boot.initrd, boot.accelerator)
    guest = Guest(spec, argv, process, home)
    try:
        yield guest, shlex.join(argv)
    finally:
        guest.stop()
