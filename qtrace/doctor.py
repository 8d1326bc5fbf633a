"""One look at everything that the verbs need, each thing by itself."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from qtrace.binary.file.version import qemu_version
from qtrace.cache import cache_dir, free_space
from qtrace.errors import QtraceError
from qtrace.lab.guest.accel import kvm_usable
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.machine.venue import choose_venue
from qtrace.store.index import open_index
from qtrace.trace.bpf.prerequisites import check_tracing

__all__ = ["Finding", "check_machine"]

# Program -> the Debian package that has it.
_PROGRAMS = {
    "ip": "iproute2",
    "setpriv": "util-linux",
    "busybox": "busybox-static",
    "iperf3": "iperf3",
    "sockperf": "sockperf",
    "depmod": "kmod",
    "dpkg-source": "dpkg-dev",
}
_SPACE = 2048  # MiB: QEMU's source, a kernel, its headers, an index, a run


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing: whether it is here, what was found, what mends it, and whether a benchmark needs it."""

    name: str
    ok: bool
    found: str
    mend: str = ""
    required: bool = True

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self)


def check_machine() -> list[Finding]:
    """Every check, in the order in which a benchmark meets them."""
    findings = [_qemu(), *(_program(name, package) for name, package in _PROGRAMS.items())]
    # The lab machine has uprobes and kprobes of its own, and root.
    own = ("privilege", "uprobes", "kprobes")
    findings += [
        Finding(check.name, check.ok, check.found, check.mend, check.name not in own)
        for check in check_tracing()
    ]
    usable, why = kvm_usable()
    findings.append(Finding("KVM", usable, "usable" if usable else why, required=False))
    vhost = Path("/dev/vhost-net").exists()
    findings.append(
        Finding("vhost-net", vhost, "/dev/vhost-net" if vhost else "no /dev/vhost-net", required=False)
    )
    space = free_space(cache_dir())
    enough = space >= _SPACE
    mend = "" if enough else f"free {_SPACE} MiB there, or set QTRACE_CACHE to a folder on a larger disk"
    findings.append(Finding("cache", enough, f"{cache_dir()}, {space} MiB free", mend))
    vde = _program("vde_switch", "vde-switch")
    findings += [replace(vde, required=False), _index(), _venue()]
    return findings


def _qemu() -> Finding:
    try:
        binary = find_qemu()
        return Finding("QEMU", True, f"{binary}, {qemu_version(binary)}")
    except QtraceError as exc:
        return Finding("QEMU", False, str(exc), exc.hint)


def _program(name: str, package: str) -> Finding:
    found = shutil.which(name)
    return Finding(name, bool(found), found or "missing", "" if found else f"run: apt-get install {package}")


def _index() -> Finding:
    try:
        meta = open_index().meta
        return Finding(
            "source index", True, f"QEMU {meta['qemu']}, libclang {meta['libclang']}", required=False
        )
    except QtraceError as exc:
        return Finding("source index", False, str(exc), exc.hint, required=False)


def _venue() -> Finding:
    try:
        venue = choose_venue()
        return Finding("venue", True, f"{venue.name}: {venue.reason}")
    except QtraceError as exc:
        return Finding("venue", False, str(exc), exc.hint)
