"""passt in the namespace, at the other end of QEMU's stream netdev: the guest has the namespace's own
address."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite
from qtrace.lab.host.helper import Helper, start_helper
from qtrace.lab.host.netns import Namespace
from qtrace.lab.host.owned import private_dir

__all__ = ["open_passt"]

_UPLINK = "up0"  # passt copies the address and the route of an interface; it ends without one
_ROUTER = "192.168.76.254"  # nobody's; passt would translate what the guest sends to its router
_MAC = "9a:55:9a:55:9a:55"


@contextlib.contextmanager
def open_passt(
    space: Namespace, user: int, host: str, guest: str, ports: str
) -> Iterator[tuple[Path, str, Helper]]:
    """The socket for QEMU's `stream`, the MAC of the router that the guest sees, and the program.

    The namespace has `host`, which the guest reaches through passt, and `guest`, which passt gives the guest
    too. `ports` is forwarded to the guest (passt's `--udp-ports`).
    """
    program = shutil.which("passt")
    if not program:
        raise MissingPrerequisite("passt is not installed", hint=distribution().hint("passt"))
    space.ip("link", "add", _UPLINK, "type", "veth", "peer", "name", "up1")
    space.ip("address", "add", f"{guest}/24", "dev", _UPLINK)
    space.ip("address", "add", f"{host}/32", "dev", "lo")
    space.ip("link", "set", "up1", "up")
    space.ip("link", "set", _UPLINK, "up")
    space.ip("route", "add", "default", "via", _ROUTER)
    space.sysctl("net.ipv4.ping_group_range", "0 2147483647")
    with private_dir(user) as home:
        path = home / "passt"
        # As root it becomes nobody by itself, and Debian 13's can then no longer open its socket here.
        # Its death signal comes after the user, whose change clears it.
        user_words = (f"--reuid={user}", f"--regid={user}", "--clear-groups", "--pdeathsig=KILL")
        command = ["setpriv", *user_words, "--", program, "--foreground", "--socket", str(path)]
        command += ["--mac-addr", _MAC, "--ipv4-only"]
        command += ["--gateway", _ROUTER, "--udp-ports", ports, "--no-dhcp", "--no-ndp", "--no-ra"]
        with start_helper(space, "passt", command, lambda _: path.is_socket(), "open its socket") as helper:
            yield path, _MAC, helper
