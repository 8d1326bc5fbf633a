"""The QEMU release of a binary, read from its strings, and whether an index is of the same release."""

from __future__ import annotations

import re
from pathlib import Path

from qtrace.binary.file.elf import Elf
from qtrace.errors import BinaryError
from qtrace.store.index import Index

__all__ = ["check_version", "qemu_version", "version_of"]

_BANNER = re.compile(rb"QEMU emulator version (?:(\d+\.\d+\.\d+)([^\n\0]{0,80}))?")
_PACKAGE = re.compile(r"Debian (?:\d+:)?([^)]+?)(?:\+b\d+)?\)?$")  # a binary rebuild has the same source


def version_of(elf: Elf) -> tuple[str, str]:
    """(release, packager's suffix) of a QEMU; both are empty if the binary has no version string. Raises
    BinaryError for a file that is not QEMU."""
    for part in elf.segments:
        if not part.executable and (match := _BANNER.search(elf.read(part.address, part.size))):
            return (match[1] or b"").decode(), (match[2] or b"").decode("latin-1").strip(" -()")
    raise BinaryError(f"{elf.path} is not QEMU: it has no line with QEMU's version")


def qemu_version(path: Path) -> str:
    """The release and package of a QEMU, `7.2.22 (Debian 1:7.2+dfsg-7)`, read from the file.

    The file is never executed, because its owner chose it, not the user of qtrace. Raises BinaryError for
    a file that is not QEMU, or that has no version string.
    """
    release, package = version_of(Elf(path))
    if not release:
        raise BinaryError(f"{path} does not say which QEMU it is", hint="give its source's index: --index")
    return f"{release} ({package})" if package else release


def check_version(elf: Elf, index: Index) -> None:
    """Raise BinaryError if the binary is of another release or package than the index."""
    release, package = version_of(elf)
    indexed, root = index.meta["qemu"], index.meta["root"]
    if release and release != indexed:
        raise BinaryError(f"{elf.path} is QEMU {release}, the source index is of {indexed}", hint=_HINT)
    match = _PACKAGE.search(package)
    level = match[1] if match else ""
    if level and "qemu_" in root and level.split("~bpo")[0] not in root:
        raise BinaryError(
            f"{elf.path} is QEMU {release} of package {level}, the source index is of {root}", hint=_HINT
        )


_HINT = (
    "index the tree that it was built from: qtrace index --source TREE; --force uses this one all the same"
)
