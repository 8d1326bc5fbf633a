"""A distribution without a file in qtrace: each need for a package is answered with a flag or file to
give."""

from __future__ import annotations

import os
from pathlib import Path

from qtrace.distribution.base import Distribution, KernelPackage, unknown_source
from qtrace.errors import MissingPrerequisite
from qtrace.progress import SILENT, Progress

__all__ = ["Unknown"]

_TREE = "unpack the source of your QEMU and give it: qtrace index --source TREE"


class Unknown(Distribution):
    """Everything but tracing and labs works with `--source TREE`; tracing and labs use installed packages."""

    def package(self, need: str) -> str:
        return ""

    def hint(self, *needs: str) -> str:
        return f"install {' and '.join(needs)} with the package manager of {self.name}"

    def fetch_refused(self) -> str:
        return f"qtrace cannot fetch packages of {self.name}"

    def installed(self, package: str) -> str:
        return ""

    def source_of(self, file: Path) -> tuple[str, str]:
        raise unknown_source(file, self.name)

    def fetch_source(self, package: str, version: str, progress: Progress = SILENT, suite: str = "") -> Path:
        raise MissingPrerequisite(f"qtrace cannot fetch sources of {self.name}", hint=_TREE)

    def fetch_newest_source(self, package: str, suite: str, progress: Progress = SILENT) -> Path:
        return self.fetch_source(package, "", progress, suite)

    def fetch_package(
        self, name: str, progress: Progress = SILENT, version: str | None = None, suite: str = ""
    ) -> Path:
        raise MissingPrerequisite(
            f"qtrace cannot fetch packages of {self.name}", hint=f"install the files of Debian's {name}"
        )

    def kernel(self, progress: Progress = SILENT) -> KernelPackage:
        """The running kernel, if its image is readable."""
        release = os.uname().release
        modules = Path("/lib/modules") / release
        for image in (Path("/boot") / f"vmlinuz-{release}", modules / "vmlinuz"):
            if os.access(image, os.R_OK) and (modules / "modules.dep").exists():
                return KernelPackage(Path("/"), release)
        raise MissingPrerequisite(
            f"qtrace cannot fetch a kernel of {self.name} for its guests, and the running kernel {release} "
            "has no image and modules here that can be read",
            hint=f"install the kernel's image and modules: /boot/vmlinuz-{release}, {modules}/modules.dep",
        )

    def kernel_headers(self, progress: Progress = SILENT) -> Path:
        raise MissingPrerequisite(
            f"qtrace cannot fetch kernel headers of {self.name}",
            hint="install the running kernel's headers, or give their folder in BCC_KERNEL_SOURCE",
        )
