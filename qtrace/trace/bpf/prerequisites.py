"""What tracing needs of this machine, checked before anything is started; the missing one is named."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qtrace.cache import atomic_dir, cache_dir, locked
from qtrace.distribution.debian import fetch_package, resolve_meta
from qtrace.errors import MissingPrerequisite
from qtrace.progress import SILENT, Progress
from qtrace.trace.bpf.links import links_available

__all__ = [
    "Check",
    "check_tracing",
    "ensure_headers",
    "kprobes_available",
    "merge_headers",
    "require_tracing",
    "uprobes_refused",
    "why_not",
]

_CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF = 21, 38, 39


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that tracing needs: whether it is here, what was found, and what mends it."""

    name: str
    ok: bool
    found: str
    mend: str = ""


def check_tracing() -> list[Check]:
    """Everything that the tracer needs, each checked by itself."""
    return [_privilege(), _bcc(), _uprobes(), _kprobes()]


def require_tracing(kernel: bool = False) -> None:
    """Raise MissingPrerequisite for the first thing that is missing; `kernel` asks for kprobes too.

    Without the right to set uprobes alone, system calls can still be counted: the ledger says what cannot.
    """
    for check in check_tracing():
        if check.name == "uprobes" and uprobes_refused():
            continue
        if not check.ok and (kernel or check.name != "kprobes"):
            raise MissingPrerequisite(f"{check.name}: {check.found}", hint=check.mend)


def kprobes_available() -> bool:
    """Whether kernel functions can be probed on the running kernel."""
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


def _capabilities() -> set[int]:
    """Numbers of our effective capabilities (linux/capability.h)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return {number for number in range(64) if held >> number & 1}
    return set()


def uprobes_refused() -> str:
    """Why this process may not set uprobes, empty where it may.

    As BPF links they need no more than our other programs do: CAP_BPF and CAP_PERFMON. As perf events, before
    Linux 6.10, CAP_SYS_ADMIN (perf_uprobe_event_init in the kernel's kernel/events/core.c).
    """
    if _CAP_SYS_ADMIN in _capabilities() or links_available():
        return ""
    return "this kernel keeps uprobes for CAP_SYS_ADMIN, which is missing here"


def _privilege() -> Check:
    has = _capabilities()
    if _CAP_SYS_ADMIN in has:
        return Check("privilege", True, "CAP_SYS_ADMIN, as root has it")
    needed = {"CAP_BPF": _CAP_BPF, "CAP_PERFMON": _CAP_PERFMON}
    missing = [name for name, number in needed.items() if number not in has]
    if not missing:
        limit = ", not for uprobes on this kernel" if uprobes_refused() else ""
        return Check("privilege", True, f"CAP_BPF and CAP_PERFMON: enough for tracepoints{limit}")
    what = " and ".join(missing)
    return Check("privilege", False, f"eBPF needs root; {what} missing here", "run it as root or with sudo")


def _bcc() -> Check:
    if importlib.util.find_spec("bcc") is None:
        return Check(
            "bcc",
            False,
            "Debian's python3-bpfcc is not installed, or this Python does not see it",
            "run: apt-get install python3-bpfcc (or 'make setup'); PyPI's bcc is something else",
        )
    # PyPI's unrelated package has the same name and no BPF in it.
    if importlib.util.find_spec("bcc.libbcc") is None:
        return Check("bcc", False, "the installed 'bcc' is PyPI's, not BPF's", "run: pip uninstall bcc")
    return Check("bcc", True, "python3-bpfcc")


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
    """The kernel headers that bcc compiles with, None where it finds the running kernel's by itself.

    `release` is the kernel that will run the programs; empty for the running one.

    Where the running kernel has none, Debian's do: our programs read only registers, maps and
    tracepoint arguments, none of which depends on the exact version. bcc wants one folder, and Debian
    splits it in two packages, so they are merged in the cache. Raises MissingPrerequisite.
    """
    given = os.environ.get("BCC_KERNEL_SOURCE")
    if given:
        return Path(given)
    release = release or os.uname().release
    if Path(f"/lib/modules/{release}/build/include").exists() or Path("/sys/kernel/kheaders.tar.xz").exists():
        return None
    try:
        package, version = resolve_meta("linux-headers-amd64", progress)
        own = fetch_package(package, progress, version)
        common = fetch_package(f"{package.removesuffix('-amd64')}-common", progress, version)
    except MissingPrerequisite as exc:
        said = " / ".join(str(exc).splitlines())
        raise MissingPrerequisite(
            f"bcc needs kernel headers: {release} has none here, and Debian's cannot be fetched: {said}",
            hint="give their folder in BCC_KERNEL_SOURCE, or see that the package mirrors can be reached",
        ) from exc
    target = cache_dir("headers") / f"{package}_{version.replace(':', '_')}"
    with locked("headers"):
        if not target.exists():
            progress.step(f"merging the kernel headers {package}")
            with atomic_dir(target) as work:
                merge_headers((common, own), work)
            progress.done(f"kernel headers {package} {version}: merged in the cache")
    return target


def merge_headers(packages: Iterable[Path], target: Path) -> None:
    """Debian's packages of headers, unpacked, as one tree: `-common` first, then the architecture's."""
    for package in packages:
        for folder in package.glob("usr/src/linux-headers-*"):
            _overlay(folder, target)


def _overlay(source: Path, target: Path) -> None:
    """Copy what a compiler reads of a header tree over another."""
    for part in ("include", "arch/x86/include"):
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, symlinks=True, dirs_exist_ok=True)
    for name in ("Makefile", ".config"):
        if (source / name).is_file():
            shutil.copy2(source / name, target / name)
