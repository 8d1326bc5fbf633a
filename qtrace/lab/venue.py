"""Where an experiment runs: on this host, or in the lab machine; and why."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from qtrace.errors import MissingPrerequisite
from qtrace.lab.accel import kvm_usable

__all__ = ["Venue", "choose_venue", "inside_machine", "missing_on_host"]


@dataclass(frozen=True, slots=True)
class Venue:
    """`name` is `host` or `vm`; `reason` is a sentence for the report."""

    name: str
    reason: str


def inside_machine() -> bool:
    """Whether this process already runs in the lab machine (its agent says so)."""
    return os.environ.get("QTRACE_VENUE") == "vm"


def missing_on_host() -> list[str]:
    """What the host lacks for tap, user and vhost to be measured on it."""
    missing = []
    if os.geteuid() != 0:
        missing.append("root")
    if importlib.util.find_spec("bcc") is None:
        missing.append("bcc (python3-bpfcc)")
    usable, reason = kvm_usable()
    if not usable:
        missing.append(f"KVM ({reason})")
    if not Path("/dev/vhost-net").exists():
        missing.append("/dev/vhost-net")
    if not Path("/dev/net/tun").exists():
        missing.append("/dev/net/tun")
    if not any(Path(root, "kprobe_events").exists() for root in _TRACEFS) and not _kprobes_built_in():
        missing.append("kprobes")
    return missing


_TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")


def _kprobes_built_in() -> bool:
    return Path("/sys/bus/event_source/devices/kprobe").exists()


def choose_venue(requested: str) -> Venue:
    """`auto`, `host` or `vm` -> where to run. Raises MissingPrerequisite if `host` cannot be."""
    if inside_machine():
        return Venue("vm", "inside the lab machine")
    missing = missing_on_host()
    if requested == "host":
        if missing:
            raise MissingPrerequisite(
                f"the host lacks {', '.join(missing)}", hint="use --venue vm: the lab machine has them"
            )
        return Venue("host", "asked for")
    if requested == "vm":
        return Venue("vm", "asked for")
    if missing:
        return Venue("vm", f"the host lacks {', '.join(missing)}")
    return Venue("host", "root, bcc, KVM, /dev/vhost-net and kprobes are there")
