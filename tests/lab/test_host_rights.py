"""A container's root is told what it lacks, and which flag gives it; a user that it takes root."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# What docker gives root: 14 capabilities, and neither of these.
CONTAINER = (
    "setpriv",
    "--bounding-set=-sys_admin,-net_admin,-perfmon,-bpf",
    "--inh-caps=-sys_admin,-net_admin,-perfmon,-bpf",
    "--",
)
QTRACE = (sys.executable, "-m", "qtrace")
pytestmark = pytest.mark.needs("root", "setpriv", "qemu-system-x86_64", "ip", "nft", "busybox")


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)


def test_a_lab_in_a_container() -> None:
    said = run(*CONTAINER, *QTRACE, "lab", "up", "tap", "--run", "true")
    assert said.returncode == 1 and "Traceback" not in said.stderr
    assert "root without CAP_SYS_ADMIN and CAP_NET_ADMIN, as in a container" in said.stderr
    assert "--cap-add=SYS_ADMIN" in said.stderr and "--venue vm" in said.stderr


def test_a_lab_in_a_container_with_one_of_them() -> None:
    said = run("setpriv", "--bounding-set=-sys_admin", "--", *QTRACE, "lab", "up", "tap", "--run", "true")
    assert said.returncode == 1 and "root without CAP_SYS_ADMIN, as" in said.stderr


@pytest.mark.needs("bcc")
def test_doctor_in_a_container() -> None:
    said = run(*CONTAINER, *QTRACE, "doctor", "--format", "json")
    findings = {item["name"]: item for item in json.loads(said.stdout)}
    for name in ("privilege", "namespaces"):
        assert not findings[name]["ok"] and "as in a container" in findings[name]["found"]
        assert "docker run" in findings[name]["mend"]
    venue = findings["venue"]["found"]
    assert "not root" not in venue and "root without CAP_SYS_ADMIN" in venue


def test_tracing_in_a_container() -> None:
    qemu = subprocess.Popen(
        ["qemu-system-x86_64", "-S", "-display", "none", "-nic", "user"], stdin=subprocess.DEVNULL
    )
    try:
        said = run(*CONTAINER, *QTRACE, "record", str(qemu.pid))
    finally:
        qemu.kill()
        qemu.wait()
    assert said.returncode == 1 and "Traceback" not in said.stderr
    assert "run it as root" not in said.stderr
    assert "CAP_SYS_ADMIN" in said.stderr or "CAP_SYS_PTRACE" in said.stderr, said.stderr
