"""Checks all prerequisites of the verbs, each separately."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from qtrace.binary.file.version import qemu_version
from qtrace.cache import cache_dir, free_space
from qtrace.distribution.clang_headers import resource_dir
from qtrace.distribution.identity import distribution
from qtrace.errors import QtraceError
from qtrace.index.prepare import glib_flags
from qtrace.lab.guest.accel import kvm_usable
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.guest.kernel import open_kernel
from qtrace.lab.host.host_rights import CONTAINER_HINT, missing_rights
from qtrace.lab.machine.venue import choose_venue
from qtrace.lab.mode.live_lab import LAB_PROGRAMS
from qtrace.store.index import open_index
from qtrace.trace.bpf.prerequisites import check_tracing

__all__ = ["Finding", "check_machine"]

# Needs of a plan, and needs of a lab only.
_PROGRAMS = ("ip", "setpriv", "busybox", "iperf3", "sockperf", "depmod", "dpkg-source")
_LAB_ONLY = ("vde_switch", *(name for name in LAB_PROGRAMS if name not in _PROGRAMS))
_SPACE = 2048  # MiB: QEMU's source, a kernel, its headers, an index, a run


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its result, the present version, the command that helps, and whether a benchmark needs
    it."""

    name: str
    ok: bool
    found: str
    mend: str = ""
    required: bool = True

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return asdict(self)


def check_machine() -> list[Finding]:
    """Every check, in the order in which a benchmark needs them."""
    here = distribution()
    tried = "" if here.tried else ": qtrace is untested on it"
    programs = [_program(name) for name in _PROGRAMS if here.packages.get(name) != ""]
    # The lab machine has its own uprobes, kprobes and root.
    own = ("privilege", "uprobes", "kprobes")
    tracing = [
        Finding(check.name, check.ok, check.found, check.mend, check.name not in own)
        for check in check_tracing()
    ]
    return [
        Finding("distribution", True, f"{here.name}{tried}", required=False),
        _qemu(),
        *programs,
        _headers_of_libraries(),
        *tracing,
        _kernel(),
        _kernel_headers(),
        _accelerator(),
        *(_device(name) for name in ("vhost-net", "net/tun")),
        _namespaces(),
        *(replace(_program(name), required=False) for name in _LAB_ONLY),
        _cache(),
        _index(),
        _venue(),
    ]


def _qemu() -> Finding:
    try:
        binary = find_qemu()
        return Finding("QEMU", True, f"{binary}, {qemu_version(binary)}")
    except QtraceError as exc:
        return Finding("QEMU", False, str(exc), exc.hint)


def _program(name: str) -> Finding:
    found = shutil.which(name)
    return Finding(name, bool(found), found or "missing", "" if found else distribution().hint(name))


def _headers_of_libraries() -> Finding:
    """The headers of libraries with which QEMU's C files are read."""
    try:
        clang, _ = resource_dir(), glib_flags()
        return Finding("headers", True, f"glib, libslirp, and clang's of {clang}")
    except QtraceError as exc:
        return Finding("headers", False, str(exc), exc.hint)


def _kernel() -> Finding:
    """The guests' kernel and its modules, checked if they are in the cache."""
    name = "guest kernel"
    try:
        if package := distribution().kept_kernel():
            kernel = open_kernel(package)
            drivers = kernel.closure(["virtio_net", "virtio_console", "e1000", "8139cp"])
            return Finding(name, True, f"Linux {kernel.release}, {len(drivers)} modules for its guests found")
    except QtraceError as exc:
        return Finding(name, False, str(exc), exc.hint)
    refused = distribution().fetch_refused()
    return Finding(name, not refused, refused or "not fetched yet: the first lab or benchmark does it")


def _kernel_headers() -> Finding:
    release = os.uname().release
    if given := os.environ.get("BCC_KERNEL_SOURCE"):
        return Finding("kernel headers", Path(given).is_dir(), f"{given} (BCC_KERNEL_SOURCE)")
    if Path(f"/lib/modules/{release}/build/include").exists() or Path("/sys/kernel/kheaders.tar.xz").exists():
        return Finding("kernel headers", True, f"the running kernel's own ({release})")
    if any(cache_dir("headers").iterdir()):
        return Finding("kernel headers", True, "the distribution's, in the cache")
    refused = distribution().fetch_refused()
    return Finding("kernel headers", not refused, refused or "not fetched yet: the first session does it")


def _accelerator() -> Finding:
    usable, why = kvm_usable()
    return Finding("KVM", usable, "usable" if usable else why, required=False)


def _device(name: str) -> Finding:
    path = Path("/dev", name)
    here = path.exists()
    mend = "" if here else f"run: modprobe {path.name.replace('-', '_')}"
    return Finding(path.name, here, str(path) if here else f"no {path}", mend, required=False)


def _namespaces() -> Finding:
    """Whether this host allows labs."""
    missing = missing_rights()
    mend = "" if not missing else "run it as root or with sudo" if missing == "not root" else CONTAINER_HINT
    return Finding("namespaces", not missing, missing or "can be made", mend, required=False)


def _cache() -> Finding:
    space = free_space(cache_dir())
    enough = space >= _SPACE
    mend = "" if enough else f"free {_SPACE} MiB there, or set QTRACE_CACHE to a folder on a larger disk"
    return Finding("cache", enough, f"{cache_dir()}, {space} MiB free", mend)


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
