"""The rights that a mode needs, found by trying as QEMU's user, without any capability.

Set-up is everything before QEMU starts; use is QEMU itself. Each of the mode's own commands is tried without
rights first (see `Recorder`), QEMU is tried without any set-up, and the rights of the lab's processes are
read from /proc.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from qtrace.errors import LabError
from qtrace.lab.guest.guest import QEMU_UID, find_qemu, unprivileged
from qtrace.lab.link.tap import private_tun
from qtrace.lab.mode.live_lab import Lab

__all__ = ["Privilege", "find_privilege"]

_GROUP = 64055  # a group without members


@dataclass(frozen=True, slots=True)
class Privilege:
    """`start` and `setup` are `user`, `none` or `root`, with the reason. `alone` is QEMU's message without
    any set-up (empty: it started), `userns` the set-up's message in a user namespace (empty: it worked; `-`:
    there is none). `devices` are the permissions of the mode's device files. `group` has QEMU's messages with
    a /dev/vhost-net of root and a group, as udev makes it: for a user in that group, and for one outside.
    """

    start: str
    setup: str
    alone: str
    userns: str
    devices: dict[str, str]
    group: dict[str, str]

    def to_json(self) -> dict[str, object]:
        """A JSON-ready dict."""
        return asdict(self)


def find_privilege(lab: Lab) -> Privilege:
    """The rights of a lab that is up and was made with `try_first`. Raises LabError."""
    return Privilege(_start(lab), _setup(lab), _alone(lab), _userns(lab), _devices(lab), _group(lab))


def _start(lab: Lab) -> str:
    """The rights of the running QEMUs, from /proc."""
    for name, guest in lab.guests.items():
        facts = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{guest.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        if facts["Uid"].split()[1] == "0" or int(facts["CapEff"], 16):
            raise LabError(f"{name} runs with rights: user {facts['Uid']}, capabilities {facts['CapEff']}")
    helper = lab.mode.seats[0].spawns
    handed = bool(lab.mode.seats[0].redirect)
    how = ", through a set-uid helper" if helper else ", with a descriptor that root opened" if handed else ""
    return "user" + how


def _setup(lab: Lab) -> str:
    for attempt in lab.recorder.attempts:
        if attempt.said:
            return f"root: {shlex.join(attempt.argv)}: {attempt.said}"
    for program in lab.mode.programs:
        if program.root:
            return f"root: {program.name}"
    if private := lab.mode.seats[0].private:
        return f"root: {private[-1]}"
    names = ", ".join(program.name.removesuffix("{n}") for program in lab.mode.programs)
    return f"user: {names}" if names else "user" if lab.recorder.attempts else "none"


def _alone(lab: Lab) -> str:
    """QEMU's message with the first guest's netdevs and no set-up; /dev/net/tun is open to all, as on
    Debian.
    """
    home = lab.home / "alone"
    for folder in (home, home / "shared"):
        folder.mkdir(mode=0o700)
        os.chown(folder, QEMU_UID, -1)
    words = [lab.fill(item, 1).replace(str(lab.home), str(home)) for item in lab.mode.seats[0].netdev]
    netdev = [word for item in words for word in ("-netdev", item)]
    more = [lab.fill(item, 1).replace(str(lab.home), str(home)) for item in lab.mode.seats[0].more]
    qemu = [str(find_qemu()), "-S", "-display", "none", "-nodefaults", "-monitor", "stdio", *more, *netdev]
    script = " && ".join([*private_tun(), 'exec "$@"'])
    # The neighbour's namespace: it contains nothing of the mode.
    argv = ["unshare", "--mount", "sh", "-c", script, "qemu", *unprivileged(qemu, "tcg", gains=True)]
    done = subprocess.run(
        lab.spaces["lan"].argv(argv), input="quit\n", capture_output=True, text=True, timeout=120
    )
    return _complaint(done)


def _userns(lab: Lab) -> str:
    """The message of the mode's own set-up as root of a new user namespace with its own network namespace."""
    attempts = lab.recorder.attempts
    if not attempts:
        return "-"
    lines = []
    for attempt in attempts:
        # The present user is 0 in the namespace, and no other user exists.
        line = shlex.join(attempt.argv).replace(f"user {QEMU_UID}", "user 0")
        lines.append(f"{line} <<'END'\n{attempt.stdin}END\n" if attempt.stdin else line)
    lines += [f"ip link show {nat.out}" for nat in lab.mode.nats]  # the uplink must exist, too
    script = "set -e\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin\n" + "\n".join(lines)
    inner = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", script]
    drop = ["setpriv", f"--reuid={QEMU_UID}", f"--regid={QEMU_UID}", "--clear-groups", "--", *inner]
    open_tun = " && ".join([*private_tun(), 'exec "$@"'])
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", open_tun, "sh", *drop],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    return "" if done.returncode == 0 else " ".join((done.stderr or done.stdout).split())[-300:]


def _group(lab: Lab) -> dict[str, str]:
    """A netdev with vhost on, started with and without the group of /dev/vhost-net."""
    if "vhost=on" not in lab.mode.seats[0].netdev[0]:
        return {}
    info, space = Path("/dev/vhost-net").stat(), lab.spaces["lan"]
    number = f"{os.major(info.st_rdev)} {os.minor(info.st_rdev)}"
    private = [
        *(private_tun() or ("mount -t tmpfs -o mode=755 none /dev/net",)),
        "test -e /dev/net/tun || mknod -m 666 /dev/net/tun c 10 200",
        f"mknod -m 660 /dev/net/vhost-net c {number}",
        f"chown 0:{_GROUP} /dev/net/vhost-net",
        "mount --bind /dev/net/vhost-net /dev/vhost-net",
        'exec "$@"',
    ]
    space.ip("tuntap", "add", "dev", "tap0", "mode", "tap", "user", str(QEMU_UID))
    netdev = "tap,id=net0,ifname=tap0,script=no,downscript=no,vhost=on,vhostforce=on"
    qemu = [str(find_qemu()), "-S", "-display", "none", "-nodefaults", "-monitor", "stdio", "-netdev", netdev]
    said = {}
    for who, groups in (("without", "--clear-groups"), ("with", f"--groups={_GROUP}")):
        drop = ["setpriv", f"--reuid={QEMU_UID}", f"--regid={QEMU_UID}", groups, "--bounding-set=-all"]
        argv = ["unshare", "--mount", "sh", "-c", " && ".join(private), "qemu", *drop, "--", *qemu]
        done = subprocess.run(space.argv(argv), input="quit\n", capture_output=True, text=True, timeout=120)
        said[who] = _complaint(done)
    space.ip("link", "delete", "tap0")
    return said


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The message of a QEMU that did not start; empty if it did."""
    if done.returncode == 0:
        return ""
    said = [line for line in done.stderr.splitlines() if "has no peer" not in line]
    return " ".join(" ".join(said).split())[-300:] or f"ended with status {done.returncode}"


def _devices(lab: Lab) -> dict[str, str]:
    """Mode and owner of each device file that the mode opens, on this machine."""
    netdevs = " ".join(lab.mode.seats[0].netdev)
    wanted = ["/dev/net/tun"] if any(device.kind == "tap" for device in lab.mode.devices) else []
    wanted += ["/dev/vhost-net"] if "vhost=on" in netdevs else []
    found = {}
    for name in wanted:
        try:
            info = Path(name).stat()
        except OSError as exc:
            found[name] = str(exc.strerror)
        else:
            found[name] = f"{stat.filemode(info.st_mode)} {_owner(Path(name))}"
    return found


def _owner(path: Path) -> str:
    try:
        return f"{path.owner()}:{path.group()}"
    except KeyError:  # a number without a name
        return f"{path.stat().st_uid}:{path.stat().st_gid}"
