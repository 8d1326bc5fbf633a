"""A macvtap in the namespace, which QEMU reads like a tap; below it a veth, whose other end is the host's."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Iterator

from qtrace.errors import LabError
from qtrace.lab.host.netns import Namespace
from qtrace.lab.host.owned import mortal, private_dir

__all__ = ["BENEATH", "character_device", "open_macvtap"]

_LOWER, _MACVTAP = "lower0", "macvtap0"
# Between the host's device and QEMU.
BENEATH = (_LOWER, _MACVTAP)


@contextlib.contextmanager
def open_macvtap(space: Namespace, device: str) -> Iterator[int]:
    """The descriptor of the macvtap, opened as root for the unprivileged QEMU; `device` is made on the host.

    What a macvtap sends never comes up in the device below it, so the host needs an end of its own. It takes
    frames for any address (mode passthru).
    """
    space.ip("link", "add", device, "type", "veth", "peer", "name", _LOWER)
    space.ip("link", "add", "link", _LOWER, "name", _MACVTAP, "type", "macvtap", "mode", "passthru")
    for name in (device, *BENEATH):
        space.ip("link", "set", name, "up")
    major, minor = map(int, character_device(space, _MACVTAP).split(":"))
    with private_dir(0) as home:
        node = home / "macvtap"
        os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(major, minor))
        try:
            # The kernel looks for the device in the namespace of who opens it (drivers/net/tap.c, tap_open).
            descriptor = space.make(lambda: os.open(node, os.O_RDWR | os.O_CLOEXEC))
        except OSError as exc:
            raise LabError(f"cannot open the macvtap of {space.name}: {exc.strerror}") from exc
        finally:
            node.unlink()
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def character_device(space: Namespace, name: str) -> str:
    """`MAJOR:MINOR` of a macvtap's character device, which sysfs shows only in its own namespace. Raises
    LabError."""
    script = f"mount -t sysfs sysfs /sys && cat /sys/class/net/{name}/tap*/dev"
    said = subprocess.run(
        mortal(space.argv(["unshare", "--mount", "sh", "-c", script])),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if said.returncode != 0:
        raise LabError(f"the character device of {name}: {said.stderr.strip()[-200:]}")
    return said.stdout.strip()
