"""A QEMU that guests can run in: a program of this machine, or another release's in a root of its own."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from qtrace.distribution.identity import distribution
from qtrace.errors import LabError
from qtrace.progress import SILENT, Progress

__all__ = ["QemuProgram"]

_PROGRAM = "usr/bin/qemu-system-x86_64"
# As root, in a mount namespace of its own, which ends with QEMU: the folder $0 becomes the root, and has what
# belongs to the running system. $1 is the folder for temporary files, in which are a guest's sockets.
_ENTER = """set -e
mount --rbind "$0" "$0"
cd "$0"
for name in proc dev sys run tmp; do mount --rbind "/$name" "$name"; done
case $1 in /tmp|/tmp/*|/run|/run/*) ;; *) mkdir -p ".$1"; mount --rbind "$1" ".$1" ;; esac
shift
pivot_root . old
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class QemuProgram:
    """`file` is the program as this machine sees it. With a `root` it runs in that folder as its root, with
    the libraries and the firmware there."""

    file: Path
    root: Path | None = None

    @classmethod
    def of_release(cls, suite: str, progress: Progress = SILENT) -> Self:
        """The QEMU of another release of this machine's distribution (`trixie`), unpacked into the cache.

        Raises MissingPrerequisite.
        """
        root = distribution().unpack_qemu(suite, progress)
        return cls(root / _PROGRAM, root)

    @property
    def inside(self) -> Path:
        """The program as its own process sees it."""
        return Path("/", self.file.relative_to(self.root)) if self.root else self.file

    def argv(self, command: Sequence[str]) -> list[str]:
        """The command line with which root runs `command` where the program's libraries and firmware are."""
        if not self.root:
            return [*command]
        enter = ["unshare", "--mount", "--", "sh", "-c", _ENTER, str(self.root), tempfile.gettempdir()]
        return [*enter, *command]

    def outside(self) -> list[str]:
        """The words with which anyone starts it among this machine's own files: with its loader, libraries
        and firmware, but neither a root nor rights of its own."""
        if not self.root:
            return [str(self.file)]
        firmware = [self.root / "usr/share" / name for name in ("qemu", "seabios")]
        return [*self._loader(), str(self.file), *(word for place in firmware for word in ("-L", str(place)))]

    def _loader(self) -> list[str]:
        """The root's own loader, told where the root's libraries are."""
        assert self.root
        folders = {str(file.parent) for file in self.root.glob("usr/lib/*/libc.so.6")}
        return [str(self.root / "lib64/ld-linux-x86-64.so.2"), "--library-path", ":".join(sorted(folders))]

    def libraries(self) -> list[Path]:
        """Its shared libraries as this machine sees them, as its own loader finds them. Raises LabError."""
        command = [*self._loader(), "--list", str(self.file)] if self.root else ["ldd", str(self.file)]
        said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if said.returncode != 0:
            raise LabError(f"{' '.join(command)}: {(said.stderr or said.stdout).strip()}")
        return [Path(found) for found in re.findall(r"(/\S+) \(0x", said.stdout)]

    def package_version(self, need: str) -> str:
        """The version of the package that provides a need where it runs; empty where that is not known."""
        package = distribution().package(need)
        if not self.root:
            return distribution().installed(package)
        listed = (line.rpartition("/")[2].partition("_") for line in _lines(self.root / "packages"))
        return next((version.replace("_", ":") for name, _, version in listed if name == package), "")

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; `of_json` is its inverse."""
        return {"file": str(self.file), "root": str(self.root) if self.root else None}

    @classmethod
    def of_json(cls, data: dict[str, Any]) -> Self:
        """Raises KeyError or TypeError for data of another shape."""
        return cls(Path(data["file"]), Path(data["root"]) if data["root"] else None)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
