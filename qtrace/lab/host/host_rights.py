"""The capabilities that namespaces, taps and guests need: those of root, some of which a container's root
lacks."""

from __future__ import annotations

import os

from qtrace.errors import MissingPrerequisite
from qtrace.proc import capabilities

__all__ = ["CONTAINER_HINT", "missing_rights", "require_rights"]

# linux/capability.h
_NEEDED = {"CAP_SYS_ADMIN": 21, "CAP_NET_ADMIN": 12}
CONTAINER_HINT = (
    "start the container with 'docker run --privileged', or with --cap-add=SYS_ADMIN --cap-add=NET_ADMIN "
    "--security-opt apparmor=unconfined; or use the lab machine: --venue vm"
)


def missing_rights() -> str:
    """Why this process cannot make namespaces and taps; empty if it can."""
    if os.geteuid() != 0:
        return "not root"
    held = capabilities()
    missing = [name for name, number in _NEEDED.items() if number not in held]
    return f"root without {' and '.join(missing)}, as in a container" if missing else ""


def require_rights() -> None:
    """Raise MissingPrerequisite, with the necessary flag, if namespaces and taps cannot be made."""
    missing = missing_rights()
    if missing == "not root":
        raise MissingPrerequisite("namespaces and taps need root", hint="run it with sudo, or use --venue vm")
    if missing:
        raise MissingPrerequisite(f"namespaces and taps cannot be made: {missing}", hint=CONTAINER_HINT)
