"""Every command of docs/tour.md does what the page says: it ends with status 0."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtrace.errors import TargetError
from qtrace.measure.qemu_process import QemuProcess
from qtrace.store.index import Index
from qtrace.store.run import RunWriter

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tour.md").read_text()
ROW = re.compile(r"^\| \[([\w/]+)\]\((\S+)\) \|[^|]*\| `([^`]+)` \|([^|]*)\|$", re.MULTILINE)
ROWS = [(room, line, needs.strip()) for room, _, line, needs in ROW.findall(PAGE)]
PROGRAMS = {"qtrace": [sys.executable, "-m", "qtrace"], "make": ["make", "-s"]}


# campaign/ measures a block, where there is no KVM in the lab machine.
LONG = {"campaign/": pytest.mark.longest, "post/": pytest.mark.long}
NEEDS = {"": (), "root": ("root",), "bcc": ("bcc",), "guest": ("busybox", "iperf3", "sockperf", "tun")}


def marked() -> list[object]:
    """The page's commands, each with what its last column says that it needs."""
    rows: list[object] = []
    for room, line, needs in ROWS:
        words = [word for need in needs.split(", ") for word in NEEDS[need]]
        marks = [pytest.mark.needs(*words), *([LONG[room]] if room in LONG else [])]
        rows.append(pytest.param(line, marks=marks, id=room))
    return rows


@pytest.fixture(scope="module")
def pid(index: Index) -> Iterator[int]:
    """The QEMU that the page starts, as soon as its NIC has its back end."""
    line = re.search(r"^qemu-system-x86_64 .*$", PAGE, re.MULTILINE)
    assert line
    with subprocess.Popen(shlex.split(line[0]), stdin=subprocess.DEVNULL) as qemu:
        deadline = time.monotonic() + 120
        while not _has_network(qemu.pid, index):
            assert qemu.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        yield qemu.pid
        qemu.kill()


def _has_network(pid: int, index: Index) -> bool:
    if os.geteuid() != 0:
        return True  # another user's memory is nobody's to read
    try:
        clients = QemuProcess(pid, index=index).clients()
    except TargetError:
        return False
    return len(clients) == 2 and all(client.peer for client in clients)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tour")


@pytest.mark.needs("qemu-system-x86_64")
@pytest.mark.parametrize("line", marked())
def test_the_command_ends_well(line: str, index: Index, pid: int, folder: Path) -> None:
    if " RUN" in line and " -o RUN" not in line and not (folder / "run").exists():
        # Where nothing can be recorded, a run without measurements stands for one.
        meta = {"venue": "host", "conditions": {}, "plan": {}, "paths": [], "command": []}
        RunWriter.create(folder / "run", meta).finish("complete")
    words = shlex.split(re.sub(r"\bRUN\b", str(folder / "run"), re.sub(r"\bPID\b", str(pid), line)))
    place = ROOT if words[0] == "make" else folder  # runs/ of the page's bench is left there
    argv = [*PROGRAMS[words[0]], *words[1:]]
    done = subprocess.run(
        argv, cwd=place, capture_output=True, text=True, timeout=580, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0 and (done.stdout or done.stderr), done.stderr


def test_every_room_has_a_row() -> None:
    rooms = {
        path.name for path in (ROOT / "qtrace").iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    assert rooms == {room.strip("/") for room, _, _ in ROWS} - {"tests/evaluation"}
    assert len(PAGE.splitlines()) < 50, "more than one screen"
