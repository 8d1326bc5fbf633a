"""What a machine may lack: one message that names it and what mends it, status 1, no traceback; and what
needs none of it works all the same.

Each lack is made for real, for one process: a user namespace in which we are nobody, a search path without
QEMU, a Python that does not see Debian's packages, a cache on a full disk, a /sys without probes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from qtrace.store.index import Index
from qtrace.store.run import RunWriter

QTRACE = (sys.executable, "-m", "qtrace")
NOBODY = ("unshare", "--user", "--")
NO_DEBIAN = (
    sys.executable,
    "-c",
    "import sys; sys.path = [path for path in sys.path if 'dist-packages' not in path];"
    "sys.argv[0] = 'qtrace'; from qtrace.cli.main import main; main()",
)


def run(argv: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(argv),
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


def hidden(command: Sequence[str], *mounts: str) -> list[str]:
    """`command` in a mount namespace of its own, after these arguments of mount(8)."""
    before = " && ".join(f"mount {mount}" for mount in mounts)
    return ["unshare", "--mount", "sh", "-c", f'{before} && exec "$@"', "sh", *command]


def refused(said: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert said.returncode == 1, said
    assert "Traceback" not in said.stderr and said.stdout == ""
    for part in parts:
        assert part in said.stderr, said.stderr


@pytest.mark.needs("root", "unshare", "qemu-system-x86_64")
def test_without_root() -> None:
    refused(run([*NOBODY, *QTRACE, "bench", "quick", "--venue", "host"]), "not root", "--venue vm")
    refused(run([*NOBODY, *QTRACE, "record", "1"]), "process 1", "run it as root")


def test_without_qemu(tmp_path: Path) -> None:
    lacking = {"PATH": str(tmp_path)}
    refused(
        run([*QTRACE, "bench", "quick"], lacking), "qemu-system-x86_64", "apt-get install qemu-system-x86"
    )
    refused(run([*QTRACE, "index"], lacking), "qemu-system-x86_64", "--source TREE")


@pytest.mark.needs("root", "bcc", "unshare", "qemu-system-x86_64", "busybox", "setpriv")
def test_without_bcc() -> None:
    import bcc

    hide = f"-t tmpfs tmpfs {Path(bcc.__file__).parent}"
    refused(run(hidden([*QTRACE, "bench", "quick"], hide)), "bcc", "apt-get install python3-bpfcc")


@pytest.mark.needs("bcc")
def test_bcc_is_found_where_no_other_package_of_the_distribution_is() -> None:
    said = run([*NO_DEBIAN, "doctor", "--format", "json"])
    bcc = next(item for item in json.loads(said.stdout) if item["name"] == "bcc")
    assert bcc["ok"] and bcc["mend"] == ""
    code = "import sys; sys.path = [path for path in sys.path if 'dist-packages' not in path];"
    code += "from qtrace.distribution.system_bcc import find_bcc; assert find_bcc(); import bcc;"
    code += "assert 'dist-packages' in bcc.__file__ and not any('dist-packages' in path for path in sys.path)"
    assert run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.needs("root", "unshare", "qemu-system-x86_64")
def test_without_disk_space(tmp_path: Path) -> None:
    tiny = f"-t tmpfs -o size=8m tmpfs {tmp_path}"
    said = run(hidden([*QTRACE, "index"], tiny), {"QTRACE_CACHE": str(tmp_path)})
    refused(said, f"{tmp_path}", "MB free", "QTRACE_CACHE")


@pytest.mark.needs("root", "bcc", "unshare", "qemu-system-x86_64")
def test_with_a_kernel_that_has_no_probes() -> None:
    nothing = "-t tmpfs tmpfs /sys/bus/event_source"
    qemu = subprocess.Popen(
        ["qemu-system-x86_64", "-S", "-display", "none", "-nic", "user,model=e1000"], stdin=subprocess.DEVNULL
    )
    try:
        said = run(hidden([*QTRACE, "record", str(qemu.pid)], nothing))
    finally:
        qemu.kill()
        qemu.wait()
    refused(said, "uprobes", "CONFIG_UPROBE_EVENTS")
    said = run(hidden([*QTRACE, "bench", "quick", "--venue", "host"], nothing))
    refused(said, "no kprobes in the kernel", "--venue vm")


@pytest.mark.needs("unshare")
def test_what_needs_none_of_it_works_all_the_same(index: Index, tmp_path: Path) -> None:
    stored = tmp_path / "run"
    meta = {"venue": "host", "conditions": {}, "plan": {}, "paths": [], "command": []}
    RunWriter.create(stored, meta).finish("complete")
    poor = {"PATH": str(tmp_path)}
    unshare = run(["sh", "-c", "command -v unshare"]).stdout.strip()
    for words in (
        ["map"],
        ["walk", "e1000", "tap", "--direction", "tx"],
        ["show", "tap_receive_iov"],
        ["index", "--source", index.meta["root"]],
        ["report", str(stored), "-o", str(tmp_path / "report")],
        ["probes"],
        ["analyses"],
    ):
        said = run([unshare, *NOBODY[1:], *NO_DEBIAN, *words], poor)
        assert said.returncode == 0, (words, said.stderr)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["walk", "e1000", "tunnel", "--direction", "tx"], "no netdev 'tunnel'"),
        (["walk", "e1000", "tap", "--vhost", "--direction", "tx"], "virtio"),
        (["show", "no_such_function_anywhere"], "no function"),
        (["bench", "no-such-plan"], "cannot read the plan"),
        (["report", "/no/such/run"], "is not a run"),
        (["record", "4194303"], "there is no process"),
        (["record", str(os.getpid())], "which is no QEMU"),
        (["index", "--source", "/"], "not a QEMU source tree"),
        (["index", "--library", "/"], "not the source of a library"),
        (["map", "--index", "0.1"], "no source index '0.1'"),
        (["walk", "--from", "tap_send", "--to", "no_such_function"], "no function 'no_such_function'"),
    ],
)
def test_a_wrong_argument_is_named(index: Index, words: list[str], says: str) -> None:
    refused(run([*QTRACE, *words]), says)


@pytest.mark.parametrize("venue", ["auto", "vm"])
def test_a_folder_with_a_run_in_it_is_refused_and_left_as_it_is(
    index: Index, tmp_path: Path, venue: str
) -> None:
    meta = {"venue": "host", "conditions": {}, "plan": {}, "paths": [], "command": []}
    RunWriter.create(tmp_path / "run", meta)
    before = (tmp_path / "run" / "run.json").read_bytes()
    words = ["bench", "quick", "-o", str(tmp_path / "run"), "--report", str(tmp_path / "report")]
    refused(run([*QTRACE, *words, "--venue", venue]), "is not empty", "another folder")
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["quick", "--block", "warp+tx+tcp"], "no block 'warp+tx+tcp'"),
        ([], "give a plan, or --resume RUN"),
        (["quick", "--resume", "/nowhere"], "give a plan, or --resume RUN"),
        (["--resume", "/nowhere", "-o", "/elsewhere"], "do not fit"),
    ],
)
def test_a_part_of_a_plan_that_is_not_there_is_wrong_usage(words: list[str], message: str) -> None:
    said = run([*QTRACE, "bench", *words])
    assert said.returncode == 2 and message in said.stderr


def test_only_a_run_can_be_resumed(tmp_path: Path) -> None:
    refused(run([*QTRACE, "bench", "--resume", str(tmp_path)]), "is not a run", "give the folder")


def test_wrong_usage_is_status_2() -> None:
    said = run([*QTRACE, "walk", "e1000"])
    assert said.returncode == 2 and "Usage" in said.stderr and "Traceback" not in said.stderr
