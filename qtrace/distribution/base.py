"""What qtrace asks of a Linux distribution. A distribution is one file beside this one, with a subclass in it
(`qtrace.distribution.identity` finds it by os-release's ID and ID_LIKE).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from qtrace.errors import MissingPrerequisite
from qtrace.progress import SILENT, Progress

__all__ = ["NEEDS", "Distribution", "KernelPackage", "NotListed", "NotOnMirror"]

# What `make setup` installs, by what is needed: programs by their names, all else by a word of our own. Each
# distribution's `packages` says where they are.
NEEDS = (
    *(
        "qemu-system-x86_64",
        "bcc",
        "venv",
        "ip",
        "iperf3",
        "sockperf",
        "busybox",
        "depmod",
        "cpio",
        "setpriv",
    ),
    *("vde_switch", "slirpvde", "nft", "passt", "perl", "tcpdump", "bpftrace", "dpkg-source"),
    *("clang-headers", "pkg-config", "glib-headers", "slirp-headers"),
)


class NotListed(MissingPrerequisite):
    """The package lists, read just now, have no such package or version."""


class NotOnMirror(MissingPrerequisite):
    """The package lists name a file that the mirror does not have (404)."""


@dataclass(frozen=True, slots=True)
class KernelPackage:
    """A distribution's kernel, unpacked: `home` has boot/vmlinuz-RELEASE, or vmlinuz beside the modules, and
    lib/modules/RELEASE, or usr/lib/modules/RELEASE."""

    home: Path
    release: str


class Distribution(ABC):
    """One distribution, as os-release names it (`name`)."""

    ids: ClassVar[tuple[str, ...]] = ()
    """What os-release's ID or ID_LIKE may be."""
    tried: ClassVar[bool] = False
    """Whether all of this has run on that distribution."""
    packages: ClassVar[Mapping[str, str]] = {}
    """A program, or a need of `NEEDS`, and its package; what has no entry is packaged under its own name. An
    empty package: the distribution has none."""
    installer: ClassVar[Sequence[str]] = ()
    """The command that installs the packages that follow it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def package(self, need: str) -> str:
        """The package that has a program or a need; empty where the distribution has none."""
        return self.packages.get(need, need)

    def hint(self, *needs: str) -> str:
        """The command that installs what is missing, as the hint of an error."""
        packages = list(dict.fromkeys(package for need in needs if (package := self.package(need))))
        if not packages or not self.installer:
            return f"install {' and '.join(needs)} with the package manager of {self.name}"
        setup = " (or 'make setup')" if set(needs) <= set(NEEDS) else ""
        return f"run: {' '.join([*self.installer, *packages])}{setup}"

    def missing(self, needs: Sequence[str] = NEEDS) -> list[str]:
        """The packages of these needs that are not installed."""
        packages = dict.fromkeys(package for need in needs if (package := self.package(need)))
        return [package for package in packages if not self.installed(package)]

    def fetch_refused(self) -> str:
        """Why no package can be fetched here; empty if that may be tried."""
        return ""

    def kept_kernel(self) -> KernelPackage | None:
        """What `kernel` gives, if nothing has to be fetched for it."""
        return None

    @abstractmethod
    def installed(self, package: str) -> str:
        """The version of an installed package, empty if it is not installed."""

    @abstractmethod
    def source_of(self, file: Path) -> tuple[str, str]:
        """The (source package, source version) that the installed `file` was built from."""

    @abstractmethod
    def fetch_source(self, package: str, version: str, progress: Progress = SILENT, suite: str = "") -> Path:
        """The unpacked tree of a source package at exactly `version`, the distribution's patches applied.

        `suite` is the release that has it, where that is not this machine's.
        """

    @abstractmethod
    def fetch_newest_source(self, package: str, suite: str, progress: Progress = SILENT) -> Path:
        """The tree of the newest source package in the release `suite` whose files can be had."""

    @abstractmethod
    def fetch_package(
        self, name: str, progress: Progress = SILENT, version: str | None = None, suite: str = ""
    ) -> Path:
        """The folder in the cache where the package `name` is unpacked (`usr/`, `lib/`, `boot/` …).

        Without `version` a copy that the cache already has is good enough. `suite` is another release than
        this machine's, such as `bookworm-backports`; its packages are kept apart.
        """

    @abstractmethod
    def kernel(self, progress: Progress = SILENT) -> KernelPackage:
        """The distribution's own x86_64 kernel with all its modules, for guests."""

    @abstractmethod
    def kernel_headers(self, progress: Progress = SILENT) -> Path:
        """The folder of that kernel's headers, as a compiler wants it: include/ and arch/x86/include/."""


def unknown_source(file: Path, name: str) -> MissingPrerequisite:
    """The error of a file that no package of the distribution `name` owns."""
    return MissingPrerequisite(
        f"{file} does not belong to a package of {name}",
        hint="give the tree that it was built from with 'qtrace index --source TREE'",
    )
