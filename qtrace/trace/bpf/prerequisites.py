"""The prerequisites of tracing on this machine, checked before anything starts; errors name the missing
one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qtrace.distribution.identity import distribution
from qtrace.distribution.system_bcc import bcc_mend, find_bcc
from qtrace.errors import MissingPrerequisite
from qtrace.proc import capabilities
from qtrace.progress import SILENT, Progress
from qtrace.trace.bpf.links import links_available

__all__ = [
    "Check",
    "check_tracing",
    "ensure_headers",
    "kprobes_available",
    "require_tracing",
    "uprobes_refused",
    "why_not",
]

_CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF = 21, 38, 39


@dataclass(frozen=True, slots=True)
class Check:
    """One prerequisite of tracing: whether it is present, its version or state, and the command that
    helps."""

    name: str
    ok: bool
    found: str
    mend: str = ""


def check_tracing() -> list[Check]:
    """All prerequisites of the tracer, each checked separately."""
    return [_privilege(), _bcc(), _uprobes(), _kprobes()]


def require_tracing(kernel: bool = False) -> None:
    """Raise MissingPrerequisite for the first missing prerequisite; `kernel` requires kprobes too.

    If only the right to set uprobes is missing, system calls can still be counted: the ledger names the rest.
    """
    for check in check_tracing():
        if check.name == "uprobes" and uprobes_refused():
            continue
        if not check.ok and (kernel or check.name != "kprobes"):
            raise MissingPrerequisite(f"{check.name}: {check.found}", hint=check.mend)


def kprobes_available() -> bool:
    """Whether functions of the running kernel can be probed."""
    return Path("/sys/bus/event_source/devices/kprobe/type").exists()


def why_not(needs: Sequence[str]) -> str:
    """Why a probe family with these needs (`Family.needs`) cannot attach here; empty if it can."""
    checks = {check.name: check for check in check_tracing()}
    for name in ("privilege", "bcc", *(need for need in needs if need in checks)):
        if not checks[name].ok:
            return checks[name].found
    if "vhost" in needs and not Path("/dev/vhost-net").exists():
        return "no /dev/vhost-net"
    return ""


def uprobes_refused() -> str:
    """Why this process may not set uprobes, empty if it may.

    As BPF links they need the same rights as the other programs: CAP_BPF and CAP_PERFMON. As perf events,
    before Linux 6.10, they need CAP_SYS_ADMIN (perf_uprobe_event_init in the kernel's kernel/events/core.c).
    """
    if _CAP_SYS_ADMIN in capabilities() or links_available():
        return ""
    return "this kernel keeps uprobes for CAP_SYS_ADMIN, which is missing here"


def _privilege() -> Check:
    has = capabilities()
    if _CAP_SYS_ADMIN in has:
        return Check("privilege", True, "CAP_SYS_ADMIN, as root has it")
    needed = {"CAP_BPF": _CAP_BPF, "CAP_PERFMON": _CAP_PERFMON}
    missing = [name for name, number in needed.items() if number not in has]
    if not missing:
        limit = ", not for uprobes on this kernel" if uprobes_refused() else ""
        return Check("privilege", True, f"CAP_BPF and CAP_PERFMON: enough for tracepoints{limit}")
    what = " and ".join(missing)
    if os.geteuid() == 0:
        found = f"root here is without {what}, as in a container"
        mend = "give the container CAP_SYS_ADMIN (docker run --cap-add=SYS_ADMIN), or run it on the host"
        return Check("privilege", False, found, mend)
    return Check("privilege", False, f"eBPF needs root; {what} missing here", "run it as root or with sudo")


def _bcc() -> Check:
    if not find_bcc():
        return Check("bcc", False, *bcc_mend())
    return Check("bcc", True, distribution().package("bcc") or "bcc")


def _uprobes() -> Check:
    if reason := uprobes_refused():
        return Check("uprobes", False, reason, "run it as root or with sudo")
    if Path("/sys/bus/event_source/devices/uprobe/type").exists():
        return Check("uprobes", True, "the kernel has them")
    return Check(
        "uprobes",
        False,
        f"kernel {os.uname().release} was built without them (CONFIG_UPROBE_EVENTS), or /sys is not mounted",
        "use the lab machine: --venue vm",
    )


def _kprobes() -> Check:
    if kprobes_available():
        return Check("kprobes", True, "the kernel has them")
    return Check(
        "kprobes",
        False,
        f"kernel {os.uname().release} was built without them; vhost's side cannot be seen here",
        "use the lab machine: --venue vm",
    )


def ensure_headers(progress: Progress = SILENT, release: str = "") -> Path | None:
    """The kernel headers with which bcc compiles, None if bcc itself finds the running kernel's headers.

    `release` is the kernel that will run the programs; empty for the running one.

    If the running kernel has none, the distribution's headers are used: the programs read only registers,
    maps and tracepoint arguments, which do not depend on the exact version. Raises MissingPrerequisite.
    """
    given = os.environ.get("BCC_KERNEL_SOURCE")
    if given:
        return Path(given)
    release = release or os.uname().release
    if Path(f"/lib/modules/{release}/build/include").exists() or Path("/sys/kernel/kheaders.tar.xz").exists():
        return None
    try:
        return distribution().kernel_headers(progress)
    except MissingPrerequisite as exc:
        said = " / ".join(str(exc).splitlines())
        raise MissingPrerequisite(
            f"bcc needs kernel headers: {release} has none here, and no others can be had: {said}",
            hint="give their folder in BCC_KERNEL_SOURCE, or check that the package mirrors can be reached",
        ) from exc
