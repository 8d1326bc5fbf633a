"""The accelerator that a guest can use on this host."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["choose_accelerator", "kvm_usable"]


def kvm_usable() -> tuple[bool, str]:
    """Whether KVM can run an ordinary kernel here, and the reason.

    /dev/kvm alone is no proof: on a paravirtual host it opens but runs only special kernels. The processor
    must also report VMX or SVM.
    """
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as exc:
        return False, f"/dev/kvm: {exc.strerror}"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            if {"vmx", "svm"} & set(line.split()):
                return True, "/dev/kvm opens and the CPU has hardware virtualisation"
            break
    return False, "/dev/kvm opens, but the CPU shows neither VMX nor SVM"


def choose_accelerator() -> str:
    """`kvm` where it is usable, else `tcg`."""
    return "kvm" if kvm_usable()[0] else "tcg"
