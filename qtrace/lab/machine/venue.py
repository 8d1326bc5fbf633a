"""The venue of an experiment: the host, or the lab machine. Chosen once, with the reason in words."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qtrace.distribution.identity import distribution
from qtrace.distribution.system_bcc import bcc_mend, find_bcc
from qtrace.errors import MissingPrerequisite
from qtrace.lab.guest.accel import kvm_usable
from qtrace.lab.host.host_rights import missing_rights

__all__ = ["Venue", "choose_venue", "inside_machine", "missing_on_host"]


@dataclass(frozen=True, slots=True)
class Venue:
    """`name` is `host` or `vm`; `reason` completes the sentence "it runs there because ..."."""

    name: Literal["host", "vm"]
    reason: str


def inside_machine() -> bool:
    """Whether this process already runs in the lab machine (its agent sets QTRACE_VENUE)."""
    return os.environ.get("QTRACE_VENUE") == "vm"


def missing_on_host() -> list[str]:
    """What the host lacks for the whole comparison, including vhost and kernel probes; empty if nothing."""
    missing = _missing_for_any()
    usable, why = kvm_usable()
    if not usable:
        missing.append(f"no usable KVM ({why})")
    if not os.access("/dev/vhost-net", os.R_OK | os.W_OK):
        missing.append("no /dev/vhost-net")
    if not Path("/sys/bus/event_source/devices/kprobe/type").exists():
        missing.append("no kprobes in the kernel")
    return missing


def _missing_for_any() -> list[str]:
    """What the host lacks for any campaign at all."""
    missing = []
    if lacks := missing_rights():
        missing.append(lacks)
    if not find_bcc():
        missing.append("no bcc")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        missing.append("no /dev/net/tun")
    return missing


def choose_venue(requested: str = "auto") -> Venue:
    """The venue for `auto`, `host` or `vm`.

    A host without KVM, vhost-net or kprobes is taken only if it is asked for: its guests are emulated, and
    cells with vhost-net are left out. Raises MissingPrerequisite if the requested one is impossible, or, for
    `auto`, if both are. Inside the lab machine the venue is always `vm`, and no further machine is started.
    """
    if requested not in ("auto", "host", "vm"):
        raise MissingPrerequisite(f"there is no venue {requested!r}", hint="choose one of: auto, host, vm")
    if inside_machine():
        return Venue("vm", "this is the lab machine")
    missing = missing_on_host()
    lacks = "the host has " + ", ".join(missing)
    if requested == "host":
        if _missing_for_any():
            raise MissingPrerequisite(
                f"cannot run on the host: {lacks}",
                hint="use the lab machine: --venue vm (needs none of these)",
            )
        here = f"although {lacks}" if missing else "root, bcc, KVM, vhost-net and kprobes are here"
        return Venue("host", f"asked for; {here}")
    if requested == "auto" and not missing:
        return Venue("host", "root, bcc, KVM, vhost-net and kprobes are here")
    _require_machine()
    return Venue("vm", "asked for" if requested == "vm" else lacks)


def _require_machine() -> None:
    """Raise MissingPrerequisite for the first prerequisite that the lab machine itself lacks."""
    for program in ("qemu-system-x86_64", "setpriv", "busybox"):
        if not shutil.which(program):
            raise MissingPrerequisite(
                f"the lab machine needs {program}, which is not installed", hint=distribution().hint(program)
            )
    if not find_bcc():
        reason, mend = bcc_mend()
        raise MissingPrerequisite(f"the lab machine uses the host's bcc: {reason}", hint=mend)
