"""The lab machine: commands, status, folders, Ctrl-C; gone afterwards, whatever happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtrace.errors import LabError, MachineGone
from qtrace.lab.machine.machine import LabMachine

pytestmark = pytest.mark.needs("qemu-system-x86_64", "busybox", "setpriv")


class Ears:
    """Collects what a command inside says."""

    def __init__(self) -> None:
        self.heard = {"stdout": b"", "stderr": b""}

    def __call__(self, stream: str, data: bytes) -> None:
        self.heard[stream] += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def machine(folder: Path) -> Iterator[LabMachine]:
    with LabMachine(share=[folder]) as machine:
        yield machine


def test_output_and_status_come_back(machine: LabMachine) -> None:
    ears = Ears()
    assert machine.run(["sh", "-c", "echo out; echo err >&2; exit 7"], on_output=ears) == 7
    assert ears.heard == {"stdout": b"out\n", "stderr": b"err\n"}


def test_it_has_what_the_comparison_needs(machine: LabMachine) -> None:
    script = "test -r /dev/kvm && test -r /dev/vhost-net && test -e /sys/bus/event_source/devices/kprobe/type"
    assert machine.run(["sh", "-c", script]) == 0


def test_commands_keep_off_the_first_cpu_where_svm_is_emulated(machine: LabMachine) -> None:
    ears = Ears()
    code = "import os; print(sorted(os.sched_getaffinity(0)), os.cpu_count())"
    machine.run([sys.executable, "-c", code], on_output=ears)
    allowed = list(range(0 if machine.accelerator == "kvm" else 1, machine.cpus))
    assert ears.heard["stdout"].decode().strip() == f"{allowed} {machine.cpus}"


def test_paths_are_the_hosts_and_only_shared_folders_take_writes(machine: LabMachine, folder: Path) -> None:
    inside = Path("/qtrace-was-here")
    assert machine.run(["sh", "-c", f"echo kept >{folder}/note && echo gone >{inside}"]) == 0
    assert (folder / "note").read_text() == "kept\n"
    assert not inside.exists()
    assert machine.run(["test", "-f", __file__]) == 0


def test_it_has_no_network(machine: LabMachine) -> None:
    ears = Ears()
    machine.run(["ip", "-brief", "link"], on_output=ears)
    assert [line.split()[0] for line in ears.heard["stdout"].decode().splitlines()] == ["lo"]


def test_its_clock_keeps_time(machine: LabMachine) -> None:
    ears = Ears()
    began = time.monotonic()
    machine.run(
        [
            sys.executable,
            "-c",
            "import time; t = time.monotonic(); time.sleep(5); print(time.monotonic() - t)",
        ],
        on_output=ears,
    )
    took = time.monotonic() - began
    assert 4.9 < float(ears.heard["stdout"]) < took * 1.05


def test_a_missing_program_is_a_status(machine: LabMachine) -> None:
    assert machine.run(["no-such-program"]) == 127


def test_a_command_that_takes_too_long_is_ended(machine: LabMachine) -> None:
    with pytest.raises(LabError, match="in time"):
        machine.run(["sleep", "60"], timeout=1.0)
    assert machine.run(["true"]) == 0


def test_a_killed_machine_is_said_and_leaves_nothing(folder: Path) -> None:
    with LabMachine(share=[folder]) as machine:
        pid = machine.pid
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(MachineGone):
            machine.run(["sleep", "60"])
    assert not Path(f"/proc/{pid}").exists()


def test_it_dies_with_its_owner(folder: Path) -> None:
    script = (
        "import sys\nfrom qtrace.lab.machine.machine import LabMachine\n"
        "with LabMachine() as machine:\n"
        "    print(machine.pid, flush=True)\n    machine.run(['sleep', '600'])\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    until = time.monotonic() + 120
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_machine_whose_kernel_ends_says_why_at_once(folder: Path) -> None:
    with (
        LabMachine(share=[folder]) as machine,
        pytest.raises(MachineGone, match=r"Kernel panic - not syncing: sysrq triggered crash$"),
    ):
        machine.run(["sh", "-c", "echo c >/proc/sysrq-trigger; sleep 600"], timeout=300)


POKED = ("vfs_read", "ksys_read", "read_null", "rw_verify_area")
POKE = """
import os, sys
tracing, functions = "/sys/kernel/tracing/", sys.argv[1:]

def write(file, text, flags=0):
    where = os.open(tracing + file, os.O_WRONLY | flags)
    os.write(where, text.encode())
    os.close(where)

for name in functions:
    write("kprobe_events", f"p:poked/{name} {name}", os.O_APPEND)
runners = []
for cpu in os.sched_getaffinity(0):
    if not (runner := os.fork()):
        os.nice(19)
        os.sched_setaffinity(0, {cpu})
        null = os.open("/dev/null", os.O_RDONLY)
        while True:
            os.read(null, 1)
    runners.append(runner)
for _ in range(10):
    for value in "10":
        for name in functions:
            write(f"events/poked/{name}/enable", value)
for runner in runners:
    os.kill(runner, 9)
print(open(tracing + "kprobe_profile").read())
"""


def test_code_may_be_rewritten_while_it_runs(folder: Path) -> None:
    """A probe at a function rewrites it. Emulated by Debian 12's QEMU, this kernel crashed in the first
    second of the same, 6 times of 6; by a newer one seldom, but not never (docs/lab-machine.md): one of
    six gets through."""
    for left in reversed(range(6)):
        try:
            with LabMachine(share=[folder]) as machine:
                hits = _poke(machine)
        except MachineGone as gone:
            if not left:
                raise
            warnings.warn(str(gone), stacklevel=1)
        else:
            break
    assert hits.keys() == set(POKED) and min(hits.values()) > 0


def _poke(machine: LabMachine) -> dict[str, int]:
    """How often each of the functions was hit, while probes at them went on and off."""
    ears = Ears()
    assert machine.run([sys.executable, "-c", POKE, *POKED], on_output=ears, timeout=300) == 0
    said = ears.heard["stdout"].decode().splitlines()
    return {name: int(count) for name, count, _ in map(str.split, said[:4])}
