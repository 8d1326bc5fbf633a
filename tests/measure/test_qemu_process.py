"""One pid, one object: a QEMU is known by what its program holds, and each process is looked at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from click.testing import CliRunner, Result
from program import Program

import qtrace.proc
from qtrace.cli.main import command
from qtrace.errors import TargetError
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import Network, open_network
from qtrace.measure.placement import Placement
from qtrace.measure.qemu_process import QemuProcess
from qtrace.store.index import Index
from qtrace.trace.qemu.target import Target

pytestmark = pytest.mark.needs("qemu-system-x86_64")

PAUSED = ("-S", "-display", "none", "-nodefaults", "-monitor", "none", "-nic", "user,model=e1000")


def run(*words: str) -> Result:
    return CliRunner().invoke(command, words, catch_exceptions=False)


@pytest.fixture(scope="module")
def network(index: Index) -> Iterator[Network]:
    with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as network:
        yield network


CODE: dict[CodeType, str] = {
    Target.__init__.__code__: "Target",
    Placement.__init__.__code__: "Placement",
    qtrace.proc.command_line.__code__: "command line",
}


def counted(work: Callable[[], Result]) -> tuple[Result, Counter[str]]:
    """How often each function of CODE is really called meanwhile, by Python's own account."""
    calls: Counter[str] = Counter()

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in CODE:
            calls[CODE[frame.f_code]] += 1

    sys.setprofile(look)
    try:
        return work(), calls
    finally:
        sys.setprofile(None)


@pytest.mark.needs("root", "bcc", "tun")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("record PID --duration 0.3 --level full --sample 1 -o RUN", (1, 1, 1)),
        ("trace PID --duration 0.2 --interval 0.1", (1, 1, 1)),
        ("probes --pid PID", (1, 1, 1)),
        ("explain --pid PID", (1, 0, 1)),
        ("symbols PID", (1, 0, 0)),
    ],
    ids=lambda item: str(item).split()[0],
)
def test_a_process_is_looked_at_once(
    words: str, expected: tuple[int, int, int], network: Network, tmp_path: Path
) -> None:
    line = words.replace("PID", str(network.guest.pid)).replace("RUN", str(tmp_path / "run")).split()
    said, calls = counted(lambda: run(*line))
    assert said.exit_code == 0, said.output
    assert (calls["Target"], calls["Placement"], calls["command line"]) == expected


def test_a_program_is_no_qemu_by_its_name(tmp_path: Path) -> None:
    shell = tmp_path / "qemu-system-x86_64"
    shutil.copy("/bin/sleep", shell)
    with subprocess.Popen([shell, "600"]) as process:
        try:
            said = subprocess.run(
                [sys.executable, "-m", "qtrace", "record", str(process.pid)],
                capture_output=True,
                text=True,
                timeout=300,
            )
        finally:
            process.kill()
    assert said.returncode == 1 and said.stdout == ""
    (line, hint) = said.stderr.splitlines()
    assert f"process {process.pid} runs {shell}, which is no QEMU" in line and "pgrep" in hint


@pytest.mark.needs("qemu-storage-daemon")
def test_a_tool_of_qemu_s_is_no_system_emulator(tmp_path: Path) -> None:
    words = ["qemu-storage-daemon", "--chardev", f"socket,id=c,path={tmp_path}/c,server=on,wait=off"]
    with subprocess.Popen([*words, "--monitor", "chardev=c"]) as process:
        try:
            with pytest.raises(TargetError, match="qemu-storage-daemon, which is no QEMU"):
                _ = QemuProcess(process.pid).version
        finally:
            process.kill()


def test_explain_says_both_releases(earlier: Index, newer_program: Program) -> None:
    """Of a process that is of another release than the index that is asked."""
    argv = [newer_program.path, *PAUSED]
    with subprocess.Popen(argv, env=os.environ | newer_program.environment) as process:
        try:
            release, _ = QemuProcess(process.pid).version
            name = str(earlier.path)
            text = run("explain", "--pid", str(process.pid), "--index", name)
            told = json.loads(
                run("explain", "--pid", str(process.pid), "--index", name, "--format", "json").output
            )
        finally:
            process.kill()
    indexed = earlier.meta["qemu"]
    assert release != indexed and text.exit_code == 0
    assert text.output.startswith(f"QEMU {release}, explained as {indexed}, ")
    assert told["process"] == {"pid": process.pid, "qemu": release} and told["qemu"] == indexed
    assert told["warnings"][0]["kind"] == "release"
    assert f"is QEMU {release}, the index that explains it is of {indexed}" in told["warnings"][0]["text"]
