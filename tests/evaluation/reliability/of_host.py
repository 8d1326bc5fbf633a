"""What the host gives the tracer: rights, tracefs, headers, and pids that are not what they seem."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from frames import all_passed, frames_to_host
from of_qemu import FRAMES, frames, run_folder
from tracer import COUNTING, Tracer, record, start
from trial import Bench, Report, Untried, trial

from qtrace.cache import cache_dir
from qtrace.trace.bpf.links import links_available

_GROUP = "the host"
_USER = 65533  # a user that owns nothing here, not the one that QEMU runs as
_QEMU_USER = 65534
_PID_REUSED = Path(__file__).with_name("pid_reused.py")


@contextlib.contextmanager
def _cache_of(user: int, *parts: str) -> Iterator[Path]:
    """A cache which `user` may write, with what ours has in the folders `parts`."""
    ours = cache_dir()
    with tempfile.TemporaryDirectory(prefix="qtrace-cache-") as name:
        folder = Path(name)
        for part in parts:
            # Symbolic links within a folder of the user's own: new files are the user's, old ones ours.
            (folder / part).mkdir()
            for item in (ours / part).iterdir():
                (folder / part / item.name).symlink_to(item)
        for path in (folder, *folder.iterdir()):
            os.chown(path, user, user)
        yield folder


def _as(user: int, *capabilities: str) -> list[str]:
    """What runs a command as `user` with these capabilities and no others."""
    caps = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return [
        *("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"),
        *(f"--inh-caps={caps}", f"--ambient-caps={caps}", f"--bounding-set={caps}", "--"),
    ]


def _to_read(*paths: Path) -> list[str]:
    """The right that another user needs besides to come as far as `paths`; none where all are open."""
    for path in (Path(sys.executable).absolute(), Path(__file__), *paths):
        for part in (path, *path.parents):
            if not part.stat().st_mode & (0o001 if part.is_dir() else 0o004):
                return ["dac_read_search"]
    return []


def _last(tracer: Tracer) -> str:
    """qtrace's one message, with its hint."""
    lines = tracer.said.splitlines()
    (number,) = (at for at, line in enumerate(lines) if line.startswith("qtrace: "))
    return " ".join(line.strip() for line in lines[number:])


@trial(_GROUP, "gives no rights: a plain user")
def plain_user(bench: Bench, report: Report) -> None:
    words = ["record", str(bench.network.guest.pid), "--duration", "1"]
    with start(report, words, before=_as(_USER, *_to_read())) as tracer:
        status, _ = tracer.end()
    said = _last(tracer)
    assert status == 1 and "out of reach" in said and "root" in said
    report.saw(f"exit status 1, '{said}'")
    with _cache_of(_QEMU_USER) as cache:
        env = {"QTRACE_CACHE": str(cache)}
        with start(report, words, before=_as(_QEMU_USER, *_to_read()), env=env) as tracer:
            status, _ = tracer.end()
    said = _last(tracer)
    assert status == 1 and "CAP_BPF and CAP_PERFMON" in said
    report.saw(f"as the user that QEMU runs as: exit status 1, '{said}'")


@trial(_GROUP, "gives CAP_BPF and CAP_PERFMON alone")
def two_capabilities(bench: Bench, report: Report) -> None:
    network = bench.network
    pid = network.guest.pid
    rights = ["bpf", "perfmon", *_to_read(bench.index.path)]
    with start(report, ["record", str(pid), "--duration", "1"], before=_as(_USER, *rights)) as tracer:
        status, _ = tracer.end()
    said = _last(tracer)
    assert status == 1 and "CAP_SYS_PTRACE" in said
    report.saw(f"on another user's QEMU: exit status 1, '{said}'")
    with _cache_of(_QEMU_USER, "apt", "headers", "packages", "symbols") as cache, run_folder() as run:
        os.chown(run.parent, _QEMU_USER, _QEMU_USER)
        words = record(pid, run)
        words += ["--index", str(bench.index.path)]
        env = {"QTRACE_CACHE": str(cache)}
        with start(report, words, before=_as(_QEMU_USER, *rights), env=env) as tracer:
            tracer.until(COUNTING)
            assert frames_to_host(network, FRAMES) == FRAMES
            all_passed(network)
            tracer.process.send_signal(2)
            answer = tracer.answer()
    missing = [row for row in answer["stages"] if not row["attached"]]
    if not missing:
        counted = frames(answer["stages"], "tx", "deliver")
        assert links_available() and counted == FRAMES
        report.saw(
            f"on a QEMU of its own user: {counted} frames of {FRAMES} are counted, every stage is attached "
            "(probes are BPF links here; where they are perf events the kernel wants CAP_SYS_ADMIN for them)"
        )
        return
    counted = frames(answer["stages"], "tx", "host")
    refused = {row["note"] for row in answer["stages"] if not row["attached"]}
    assert counted == FRAMES
    if links_available():
        assert not refused and frames(answer["stages"], "tx", "deliver") == FRAMES
        report.saw(f"on a QEMU of its own user: every stage is counted, {FRAMES} of {FRAMES} frames")
        return
    attached = [row["stage"] for row in answer["stages"] if row["attached"]]
    assert set(attached) == {"host"}
    assert len(refused) == 1 and "CAP_SYS_ADMIN" in next(iter(refused))
    calls = sum(row["calls"] for row in answer["syscalls"])
    warned = [line for line in tracer.said.splitlines() if "uprobes" in line]
    assert warned
    report.saw(
        f"on a QEMU of its own user: system calls are counted ({calls:,}, of them writev on the tap "
        f"{counted} for {FRAMES} frames); of every other stage the ledger says '{refused.pop()}'"
    )


@trial(_GROUP, "has neither tracefs nor debugfs mounted", quick=False)
def no_tracefs(bench: Bench, report: Report) -> None:
    network = bench.network
    script = (
        "for where in /sys/kernel/tracing /sys/kernel/debug/tracing /sys/kernel/debug; do "
        'while mountpoint -q "$where"; do umount "$where" || exit 9; done; done; exec "$@"'
    )
    before = ["unshare", "--mount", "sh", "-c", script, "sh"]
    with run_folder() as run, start(report, record(network.guest.pid, run), before=before) as tracer:
        tracer.until(COUNTING)
        mounts = Path(f"/proc/{tracer.pid}/mounts").read_text()
        assert "tracefs" not in mounts and "debugfs" not in mounts
        assert frames_to_host(network, FRAMES) == FRAMES
        all_passed(network)
        tracer.process.send_signal(2)
        answer = tracer.answer()
    missing = [row for row in answer["stages"] if not row["attached"]]
    counted = frames(answer["stages"], "tx", "deliver")
    assert not missing and counted == FRAMES
    report.saw(f"every stage attached; {FRAMES} frames sent, {counted} counted")


@trial(_GROUP, "has no kernel headers, and no network to fetch them", quick=False)
def no_headers(bench: Bench, report: Report) -> None:
    release = os.uname().release
    if Path(f"/lib/modules/{release}/build/include").exists() or Path("/sys/kernel/kheaders.tar.xz").exists():
        raise Untried(f"kernel {release} has headers of its own here")
    with _cache_of(0) as cache, run_folder() as run:
        words = ["record", str(bench.network.guest.pid), "-o", str(run), "--duration", "1"]
        words += ["--index", str(bench.index.path)]
        env = {"QTRACE_CACHE": str(cache)}
        with start(report, words, before=["unshare", "--net"], env=env) as tracer:
            status, _ = tracer.end(timeout=120)
        assert not run.exists()
    said = _last(tracer)
    assert status == 1 and "kernel headers" in said
    report.saw(f"exit status 1, '{said}'")


@trial(_GROUP, "has another program at that pid")
def no_qemu(bench: Bench, report: Report) -> None:
    with start(report, ["record", str(os.getpid()), "--duration", "1"]) as tracer:
        status, _ = tracer.end()
    said = _last(tracer)
    assert status == 1 and "no QEMU" in said
    report.saw(f"exit status 1, '{said.replace(str(os.getpid()), 'PID')}'")


@trial(_GROUP, "gives the pid of a QEMU that has ended to another process")
def pid_reused(bench: Bench, report: Report) -> None:
    words = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, str(_PID_REUSED)]
    report.ran([*words[:-2], "python", "tests/evaluation/reliability/pid_reused.py"])
    program = shutil.which("qemu-system-x86_64")
    done = subprocess.run([*words, str(program)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    report.saw(done.stdout.strip())
