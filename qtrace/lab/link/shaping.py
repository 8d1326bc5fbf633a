"""The setting of a cell, made at both ends of its link: MTU, offloads, delay and loss."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence

from qtrace.errors import CellError, LabError
from qtrace.lab.guest.guest import Guest
from qtrace.lab.host.netns import Namespace
from qtrace.model import Setting

__all__ = ["guest_programs", "needed_modules", "shape"]

# Of the guest's kernel. netem delays what its device sends; through ifb also what it receives. The host's own
# kernel may have no netem, and user networking no device on the host: the guest always has both.
_DELAY_MODULES = ("sch_netem", "ifb", "sch_ingress", "cls_matchall", "act_mirred")
_HELD = 100_000  # packets that netem may hold: more than are on the way in a second at the lab's speeds
_OFFLOADS = ("tx", "rx", "sg", "tso", "gso", "gro", "lro")
_LEFT = (
    *("tx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload"),
    *("generic-receive-offload", "large-receive-offload"),
)


def guest_programs(programs: Iterable[str], setting: Setting) -> tuple[str, ...]:
    """`programs`, and those that the guest runs for this setting."""
    shaped = ("tc",) if setting.rtt or setting.loss else ()
    return (*programs, *shaped, *(("ethtool",) if setting.offloads == "off" else ()))


def needed_modules(setting: Setting) -> tuple[str, ...]:
    """The modules of the guest's kernel that this setting needs."""
    return _DELAY_MODULES if setting.rtt or setting.loss else ()


def shape(setting: Setting, guest: Guest, devices: Sequence[tuple[Namespace, str]]) -> None:
    """Make the setting for a guest that is up; `devices` are the host's on its link, each in a namespace.

    Raises CellError where a driver refuses it.
    """
    if setting.mtu:
        for space, device in devices:
            space.ip("link", "set", device, "mtu", str(setting.mtu))
        status, said = guest.try_sh(f"/bin/ip link set eth0 mtu {setting.mtu}")
        if status:
            raise CellError(f"the guest's driver takes no MTU of {setting.mtu}: {said.strip()[-200:]}")
    if setting.offloads == "off":
        for space, device in devices:
            _switch_off(space, device)
        _check_off(guest)
    if setting.rtt or setting.loss:
        _delay(guest, setting)


def _switch_off(space: Namespace, device: str) -> None:
    command = space.argv(["ethtool", "-K", device, *(word for name in _OFFLOADS for word in (name, "off"))])
    said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if said.returncode != 0:
        raise LabError(f"the offloads of {device}: {(said.stderr or said.stdout).strip()[-200:]}")


def _check_off(guest: Guest) -> None:
    """A driver may refuse to switch one off that it does not have: what counts is what is left."""
    guest.sh(f"for name in {' '.join(_OFFLOADS)}; do ethtool -K eth0 $name off 2>/dev/null; done; true")
    said = guest.sh("ethtool -k eth0").splitlines()
    features = dict(line.strip().split(": ", 1) for line in said if ": " in line)
    if left := [name for name in _LEFT if features.get(name, "off").startswith("on")]:
        raise CellError(f"the guest's driver keeps its offloads on: {', '.join(left)}")


def _delay(guest: Guest, setting: Setting) -> None:
    """Half of the round trip, and the loss, in each direction. busybox has a `tc` of its own, which its shell
    prefers."""
    words = f"netem limit {_HELD}"
    words += f" delay {setting.rtt / 2 * 1000:.0f}us" if setting.rtt else ""
    words += f" loss {setting.loss:g}%" if setting.loss else ""
    guest.sh(
        f"/bin/ip link add ifb0 type ifb 2>/dev/null; /bin/ip link set ifb0 up && "
        f"/bin/tc qdisc add dev eth0 root {words} && /bin/tc qdisc add dev ifb0 root {words} && "
        "/bin/tc qdisc add dev eth0 ingress && "
        "/bin/tc filter add dev eth0 parent ffff: matchall action mirred egress redirect dev ifb0",
        timeout=120,
    )
