"""The conditions under which a run was taken: the text above every number."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from qtrace import __version__
from qtrace.binary.file.version import qemu_version
from qtrace.distribution.identity import distribution
from qtrace.distribution.system_bcc import find_bcc

__all__ = ["conditions", "processor"]


def conditions(binary: Path, accelerator: str, guest_kernel: str, version: str = "") -> dict[str, str]:
    """Name -> text, in display order. `binary` is the measured qemu-system-x86_64; without `version` its
    version is read from the file."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "accelerator": accelerator,
        "CPU": processor(),
        "memory": f"{memory:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "guest kernel": guest_kernel,
        "QEMU": version or qemu_version(binary),
        "libslirp": _package("libslirp"),
        "bcc": _bcc(),
        "libclang": _installed("libclang"),
        "iperf3": _package("iperf3"),
        "sockperf": _package("sockperf"),
        "qtrace": __version__,
    }


def processor() -> str:
    """The model, the number of CPUs online, and the number that this process may use, if that is smaller."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = " ".join(line.split(":", 1)[1].split())
            break
    online, ours = os.cpu_count() or 1, len(os.sched_getaffinity(0))
    return f"{model}, {online} online" + (f", {ours} of them for the guests" if ours < online else "")


def _bcc() -> str:
    """bcc's own version: it comes from the distribution, so Python's metadata may not have it."""
    find_bcc()
    try:
        return str(importlib.import_module("bcc").__version__)
    except (ImportError, AttributeError):
        return "not installed"


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _package(need: str) -> str:
    """The version of the package that provides the need."""
    return distribution().installed(distribution().package(need)) or "unknown"
