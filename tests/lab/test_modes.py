"""The connection modes: what their files say, a lab from up to down, and that the host stays as it was."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.guest.clock import counter_words, tsc_khz
from qtrace.lab.guest.guest_image import NIC_MODULES
from qtrace.lab.host.owned import LABS, STATE, remove_leftovers
from qtrace.lab.mode.live_lab import open_lab
from qtrace.lab.mode.mode import CELLS, load_mode, load_modes

LIVE = pytest.mark.needs(
    "root", "tun", "ip", "nft", "perl", "setpriv", "unshare", "busybox", "qemu-system-x86_64"
)
QTRACE = [sys.executable, "-m", "qtrace"]


def test_every_mode_says_what_it_is_and_what_is_claimed() -> None:
    modes = load_modes()
    assert len({mode.name for mode in modes}) == len(modes) >= 20
    for mode in modes:
        assert mode.title and mode.picture and mode.about and mode.tries and mode.source
        assert set(mode.expect) == set(CELLS)
        assert mode.least <= mode.most
        for number in range(1, mode.most + 1):
            seat = mode.seat(number)
            assert any("id=net0" in item for item in seat.netdev)


@pytest.mark.needs("perl")
def test_what_the_guests_run_is_sound_perl() -> None:
    script = Path(load_modes.__code__.co_filename).with_name("responder.pl")
    said = subprocess.run(
        ["perl", "-Mstrict", "-Mwarnings=FATAL", "-c", str(script)], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr


def test_wrong_names_are_said_with_what_there_is() -> None:
    with pytest.raises(LabError, match="no mode 'tapp'") as caught:
        load_mode("tapp")
    assert "tap-nat" in caught.value.hint
    with pytest.raises(LabError, match="no driver for the NIC 'ne3000'") as nic, _lab("tap", "ne3000"):
        pass
    assert "e1000" in nic.value.hint
    with pytest.raises(LabError, match="takes 1 to 2 guests, not 3"), open_lab(load_mode("socket"), "", 3):
        pass
    assert "i82551" not in NIC_MODULES


@LIVE
@pytest.mark.parametrize(("without", "package"), [("vde_switch", "vde-switch"), ("nft", "nftables")])
def test_a_program_that_is_missing_is_named_before_anything_is_made(
    without: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(Path("/run/netns").glob("*")) if Path("/run/netns").exists() else set()
    monkeypatch.setenv("PATH", f"{tmp_path}")
    for name in ("ip", "nft", "nsenter", "setpriv", "unshare", "busybox", "perl"):
        if name != without:
            (tmp_path / name).symlink_to(shutil.which(name, path=os.defpath + ":/usr/sbin:/sbin") or "")
    with pytest.raises(MissingPrerequisite, match=f"the program {without}") as caught, _lab("vde"):
        pass
    assert package in caught.value.hint
    assert (set(Path("/run/netns").glob("*")) if Path("/run/netns").exists() else set()) == before


@LIVE
def test_a_lab_from_up_to_down_and_the_host_is_as_before(host: Callable[[], dict[str, str]]) -> None:
    before = host()
    with _up("tap") as (first, _), _up("user") as (second, _):
        assert "hostname\r\nvm1\r\n" in _console(f"{first}:vm1", "hostname")
        assert {first, second} <= {row["name"] for row in _json("lab", "status") if row["state"] == "up"}
        inside = _run("lab", "shell", f"{first}:vm1", "--", "ping -c 1 -W 5 192.168.71.1 && exit 7")
        assert inside.returncode == 7 and "1 packets received" in inside.stdout
        told = _run("lab", "shell", f"{first}:vm1", "--", "cat /proc/cmdline").stdout
        # The lab measured its host's counter, and so does this process: each for itself.
        khz = re.findall(r" tsc_early_khz=(\d+) ", told)
        assert [int(each) for each in khz] == pytest.approx(
            [tsc_khz()] if counter_words(choose_accelerator()) else [], rel=0.001
        )
        assert "10.20.0.3/24" in _run("lab", "shell", f"{first}:lan", "--", "ip", "address").stdout
        assert "several labs have a machine 'vm1'" in _run("lab", "shell", "vm1", "--", "true").stderr
        assert f"removed lab {second}" in _run("lab", "down", second).stdout
        names = {row["name"] for row in _json("lab", "status")}
        assert first in names and second not in names
    _until(lambda: not (LABS / first).exists())
    assert host() == before


@LIVE
@pytest.mark.parametrize("when", ["set-up", "up"])
def test_what_a_killed_lab_leaves_is_found_and_nothing_else(
    when: str, host: Callable[[], dict[str, str]]
) -> None:
    before = host()
    other = f"other-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", other], check=True)
    try:
        if when == "up":
            with _up("tap-nat") as (name, process):
                qemu = next(row for row in _json("lab", "status") if row["name"] == name)["guests"]["vm1"][
                    "pid"
                ]
                process.kill()
                _until(lambda: not Path(f"/proc/{qemu}").exists())
        else:
            process = _start("tap-nat")
            _until(lambda: bool(name := _lab_of(process)) and Path(f"/run/netns/qt-{name}-lan").exists())
            name = _lab_of(process)
            process.kill()
        process.communicate()
        _until(lambda: not _runs_for(process.pid))
        assert any(Path("/run/netns").glob(f"qt-{name}-*"))
        said = " ".join(remove_leftovers())  # what `lab down --all` does, without ending other people's labs
        assert f"netns qt-{name}-host" in said and f"dir {LABS / name}" in said
        assert not any(Path("/run/netns").glob(f"qt-{name}-*")) and not (LABS / name).exists()
        assert Path("/run/netns", other).exists()
    finally:
        subprocess.run(["ip", "netns", "delete", other], check=True)
    assert host() == before


@LIVE
@pytest.mark.parametrize("moment", ["owner", "netns router", "netns internet", "vm1/qmp"])
def test_interrupted_half_way_it_leaves_nothing(moment: str, host: Callable[[], dict[str, str]]) -> None:
    """`moment`: what of the lab has just come when Ctrl-C does."""
    before = host()
    process = _start("tap-bridge")
    name = ""

    def come() -> bool:
        nonlocal name
        name = name or _lab_of(process)
        space = moment.removeprefix("netns ")
        return bool(name) and (
            (LABS / name / moment).exists() or Path(f"/run/netns/qt-{name}-{space}").exists()
        )

    _until(come)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in said
    assert not any(Path("/run/netns").glob(f"qt-{name}-*")) and not (LABS / name).exists()
    assert not any(STATE.glob(f"{process.pid}-*"))  # what is written down is what is still there
    assert host() == before


@LIVE
def test_an_interrupted_reach_ends_soon_and_leaves_nothing() -> None:
    words = [*QTRACE, "reach", "stream-unix"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _until(lambda: bool(name := _lab_of(process)) and (LABS / name / "lab.json").exists())
    name = _lab_of(process)
    process.send_signal(signal.SIGINT)
    said, complaint = process.communicate(timeout=300)
    assert process.returncode == 130 and not said and "Traceback" not in complaint
    assert not any(Path("/run/netns").glob(f"qt-{name}-*")) and not (LABS / name).exists()


@LIVE
def test_the_commands_that_it_prints_make_the_same_lab() -> None:
    with _lab("tap") as lab:
        lines, name = list(lab.recorder.lines), lab.name
    commands = [line for line in lines if not line.startswith("#")]
    qemu = commands.pop()
    home = LABS / name
    guest: subprocess.Popen[bytes] | None = None
    try:
        subprocess.run(["bash", "-e", "-c", "\n".join(commands)], check=True, timeout=300)
        guest = subprocess.Popen(["bash", "-c", f"exec {qemu}"], stdin=subprocess.DEVNULL)
        ping = ["ip", "netns", "exec", f"qt-{name}-host", "busybox", "ping", "-c", "1", "192.168.71.2"]
        _until(lambda: subprocess.run([*ping, "-W", "1"], capture_output=True).returncode == 0)
    finally:
        if guest:
            guest.kill()
            guest.wait()
        for space in Path("/run/netns").glob(f"qt-{name}-*"):
            subprocess.run(["ip", "netns", "delete", space.name], check=True)
        subprocess.run(["rm", "-r", str(home)], check=True)


@LIVE
@pytest.mark.long
def test_reach_measures_what_the_table_of_part_1_says() -> None:
    answer = _json("reach", "user", "tap-nat", "socket")
    rows = {row["mode"]: row for row in answer["rows"]}
    assert answer["venue"] == "host" and not any(row["failed"] for row in rows.values())
    seen = {mode: [row["cells"][cell]["observed"] for cell in CELLS] for mode, row in rows.items()}
    assert seen == {
        "user": ["yes", "by forwarding", "no", "yes", "by forwarding"],
        "tap-nat": ["yes", "yes", "yes", "yes", "by forwarding"],
        "socket": ["no", "no", "yes", "no", "no"],
    }
    user = rows["user"]["cells"]
    assert rows["user"]["privilege"]["start"] == "user" and rows["user"]["privilege"]["setup"] == "none"
    assert user["vm_to_host"]["icmp"] and "not answered by host" in user["vm_to_host"]["note"]
    assert user["net_to_vm"]["forward"]["tcp"] and user["net_to_vm"]["forward"]["udp"]
    assert "lan sees 10.20.0.2" in user["vm_to_net"]["note"]
    assert rows["tap-nat"]["privilege"]["setup"].startswith("root: ip link add br0")
    assert "Operation not permitted" in rows["tap-nat"]["privilege"]["alone"]


@pytest.fixture
def host() -> Callable[[], dict[str, str]]:
    """What the host's own network is: its devices, addresses, routes, rules, firewall and sysctls."""

    def look() -> dict[str, str]:
        commands = {
            "links": ["ip", "-d", "link"],
            "addresses": ["ip", "address"],
            "routes": ["ip", "route", "show", "table", "all"],
            "rules": ["ip", "rule"],
            "neighbours": ["ip", "neighbour", "show", "nud", "permanent"],
            "firewall": ["nft", "list", "ruleset"],
        }
        found = {
            # How long an address or a route of DHCP's is still good becomes less by itself.
            name: re.sub(
                r"(valid_lft|preferred_lft|expires) \d+sec",
                r"\1",
                subprocess.run(argv, capture_output=True, text=True, check=True).stdout,
            )
            for name, argv in commands.items()
        }
        for path in sorted(Path("/proc/sys/net").rglob("*")):
            if path.is_file() and os.access(path, os.R_OK) and "conntrack_count" not in path.name:
                try:
                    found[str(path)] = path.read_text(errors="replace")
                except OSError:  # some can only be written
                    continue
        assert len(found) > 100
        return found

    return look


def _lab(mode: str, nic: str = "") -> Any:
    return open_lab(load_mode(mode), nic, 1)


def _start(mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*QTRACE, "lab", "up", mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def _runs_for(group: int) -> bool:
    """Whether a program of the lab still runs: one that was making something dies with the lab, a moment
    later."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, mine, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(mine) == group and state != "Z":
                return True
    return False


class _up:
    """A lab in a process of its own, until Ctrl-C: (its name, the process)."""

    def __init__(self, mode: str) -> None:
        self.process = _start(mode)

    def __enter__(self) -> tuple[str, subprocess.Popen[str]]:
        assert self.process.stderr
        for line in self.process.stderr:
            if " is up after " in line:
                return line.split()[3], self.process
        pytest.fail("the lab did not come up")

    def __exit__(self, *exc: object) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=300)


def _console(machine: str, line: str) -> str:
    """What a guest's console shows after `line` is typed on a terminal, until Ctrl-]."""
    ours, theirs = os.openpty()
    process = subprocess.Popen([*QTRACE, "lab", "shell", machine], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = ""
    try:
        for wanted, typed in (("# ", f"{line}\n"), (f"{line}\r\n", ""), ("# ", "\x1d")):
            seen, deadline = len(shown), time.monotonic() + 120
            while wanted not in shown[seen:]:
                assert time.monotonic() < deadline and select.select([ours], [], [], 120)[0]
                shown += os.read(ours, 4096).decode(errors="replace")
            os.write(ours, typed.encode())
        assert process.wait(120) == 0
    finally:
        process.kill()
        os.close(ours)
    return shown


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QTRACE, *words], capture_output=True, text=True, timeout=600)


def _json(*words: str) -> Any:
    said = _run(*words, "--format", "json")
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def _lab_of(process: subprocess.Popen[str]) -> str:
    """The name of the lab that a process makes, empty until it has one."""
    mine = f"{process.pid}-"
    return next((at.parent.name for at in LABS.glob("*/owner") if _text(at).startswith(mine)), "")


def _text(path: Path) -> str:
    """Empty where the file has gone meanwhile."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
