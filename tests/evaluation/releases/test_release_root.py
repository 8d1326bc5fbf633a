"""A command in a release's root leaves no mount, no process and no change of the root, however it ends."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from release_root import ReleaseRoot, open_root

pytestmark = pytest.mark.needs("root", "busybox", "unshare", "setpriv", "pivot_root")
HERE = Path(__file__).parent


@pytest.fixture
def root(tmp_path: Path) -> ReleaseRoot:
    """A root of busybox alone, and a folder of the host's."""
    pristine, seen = tmp_path / "pristine", tmp_path / "seen"
    for name in ("bin", "dev", "proc", "sys", "run", "tmp"):
        (pristine / name).mkdir(parents=True)
    busybox = pristine / "bin/busybox"
    found = subprocess.run(["which", "busybox"], capture_output=True, text=True, check=True).stdout.strip()
    busybox.write_bytes(Path(found).read_bytes())
    busybox.chmod(0o755)
    for applet in ("sh", "umount", "rmdir", "env", "sleep", "setsid", "cat", "ls", "touch"):
        (pristine / "bin" / applet).symlink_to("busybox")
    seen.mkdir()
    (seen / "note").write_text("seen")
    (tmp_path / "work").mkdir()
    return ReleaseRoot("busybox", pristine, tmp_path / "work", (seen,))


def mounts() -> list[str]:
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def running(mark: str) -> list[int]:
    """The processes with this word in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words:
            found.append(int(entry.name))
    return found


def wait_for(mark: str, number: int, seconds: float = 120) -> None:
    """Until so many run; a machine that wakes from idleness has taken more than 20 seconds to start them."""
    deadline = time.monotonic() + seconds
    while len(running(mark)) != number and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(running(mark)) == number, tree()


def tree() -> str:
    """Every process: its id, its state, its parent's id, where in the kernel it waits, its command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found.append(f"{entry.name} {state} {parent} {(entry / 'wchan').read_text()} {words}")
    return "\n".join(found)


def test_a_command_sees_the_root_and_the_folders(root: ReleaseRoot) -> None:
    before, pristine = mounts(), sorted(root.pristine.rglob("*"))
    seen = root.folders[0]
    status, output, seconds = root.run(["sh", "-c", f"cat {seen}/note; touch /made; ls -d /made /usr"], 300)
    assert status != 0 and output.startswith("seen") and "/made" in output and "/usr: No such file" in output
    status, output, _ = root.run(["sh", "-c", f"ls /made; touch {seen}/other"], 300)
    assert status != 0 and output.startswith("/made") and "Read-only" in output  # its layer stays
    assert 0 < seconds < 300
    assert mounts() == before and sorted(root.pristine.rglob("*")) == pristine
    assert root.run(["sh", "-c", "exit 3"], 300)[0] == 3


def test_what_a_command_leaves_running_is_ended(root: ReleaseRoot) -> None:
    status, _, _ = root.run(["sh", "-c", "setsid sleep 98765.1 >/dev/null 2>&1 & exit 0"], 300)
    assert status == 0 and running("98765.1") == []


def test_what_has_ended_is_waited_for(root: ReleaseRoot) -> None:
    """As an init does: no zombie, which who looks for a process would take for one that runs."""
    gone = "n=0; while [ -d /proc/$(cat /left) ] && [ $((n += 1)) -lt 1200 ]; do sleep 0.1; done"
    script = f"(sleep 0.1 & echo $! >/left); {gone}; ls -d /proc/$(cat /left)"
    status, output, _ = root.run(["sh", "-c", script], 300)
    assert status != 0 and "No such file" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_command_can_be_ended_where_we_cannot(root: ReleaseRoot, number: signal.Signals) -> None:
    """As in the background of a shell, where SIGINT is ignored, and below nohup."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        status, output, _ = root.run(["sh", "-c", f"kill -{number.value} $$; ls /"], 300)
    finally:
        signal.signal(number, before)
    assert status == 128 + number and output == ""


def test_a_command_that_takes_too_long_is_ended(root: ReleaseRoot) -> None:
    status, _, seconds = root.run(["sh", "-c", "setsid sleep 98765.2 & sleep 98765.2"], 1)
    assert status == 124 and seconds >= 1 and running("98765.2") == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_whoever_started_it(root: ReleaseRoot, number: signal.Signals) -> None:
    mark = f"98765.3{number.value}"
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); from pathlib import Path\n"
        "from release_root import ReleaseRoot\n"
        f"root = ReleaseRoot('busybox', Path({str(root.pristine)!r}), Path({str(root.work)!r}), ())\n"
        f"root.run(['sh', '-c', 'setsid sleep {mark} & sleep {mark}'], 600)\n"
    )
    before = mounts()
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(mark, 2)
            process.send_signal(number)
            assert process.wait(300) != 0
        finally:
            process.kill()
    wait_for(mark, 0)
    assert mounts() == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_layer_is_gone_at_the_latest_when_the_next_trial_begins(
    root: ReleaseRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    mark = f"98765.4{number.value}"
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); from release_root import open_root\n"
        "with open_root('busybox') as root:\n"
        f"    root.run(['sh', '-c', 'echo > /made; setsid sleep {mark} & sleep {mark}'], 600)\n"
    )
    roots = tmp_path / "cache" / "roots"
    roots.mkdir(parents=True)
    root.pristine.rename(roots / "busybox")
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path / "cache"))
    before = mounts()
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(mark, 2)
            process.send_signal(number)
            assert process.wait(300) != 0
        finally:
            process.kill()
    wait_for(mark, 0)
    left = [folder.name for folder in (roots / "work").iterdir()]
    assert left == ([f"qtrace-busybox-{process.pid}"] if number == signal.SIGKILL else [])
    with open_root("busybox") as mine:
        assert list((roots / "work").iterdir()) == [mine.work]
        status, seen, _ = mine.run(["ls", "/"], 300)
        assert status == 0 and "bin" in seen.split() and "made" not in seen.split()
    assert list((roots / "work").iterdir()) == [] and mounts() == before
