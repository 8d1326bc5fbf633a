"""The interface to a Linux distribution. Each distribution is one file beside this one with a subclass of
`Distribution`, which `qtrace.distribution.identity` finds by os-release's ID and ID_LIKE.
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

# The needs that `make setup` installs: programs by their names, all others by a word that qtrace chose. Each
# distribution's `packages` maps them to packages.
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
    *(
        "vde_switch",
        "slirpvde",
        "nft",
        "passt",
        "perl",
        "tcpdump",
        "ethtool",
        "ping",
        "bpftrace",
        "dpkg-source",
    ),
    *("clang-headers", "pkg-config", "glib-headers", "slirp-headers"),
)


class NotListed(MissingPrerequisite):
    """The package lists, just read, do not contain the package or version."""


class NotOnMirror(MissingPrerequisite):
    """The package lists name a file that the mirror does not have (404)."""


@dataclass(frozen=True, slots=True)
class KernelPackage:
    """A distribution's kernel, unpacked. `home` has boot/vmlinuz-RELEASE, or vmlinuz beside the modules; the
    modules are in lib/modules/RELEASE or usr/lib/modules/RELEASE."""

    home: Path
    release: str


class Distribution(ABC):
    """One distribution, as os-release names it (`name`)."""

    ids: ClassVar[tuple[str, ...]] = ()
    """Values of os-release's ID or ID_LIKE that select this class."""
    tried: ClassVar[bool] = False
    """Whether all methods were tested on that distribution."""
    packages: ClassVar[Mapping[str, str]] = {}
    """A program, or a need of `NEEDS`, -> its package; one without an entry is packaged under its own name.
    An empty package means that the distribution has none."""
    sound_emulator: ClassVar[str] = ""
    """A release whose QEMU is 8.1 or newer, for those whose own is older (lab/machine/emulator.py)."""
    installer: ClassVar[Sequence[str]] = ()
    """The command to which the names of packages are appended to install them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def package(self, need: str) -> str:
        """The package for a program or a need; empty if the distribution has none."""
        return self.packages.get(need, need)

    def hint(self, *needs: str) -> str:
        """The command that installs the missing packages, as the hint of an error."""
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
        """The reason why no package can be downloaded here; empty if downloads are possible."""
        return ""

    def kept_kernel(self) -> KernelPackage | None:
        """The result of `kernel`, if it needs no download."""
        return None

    @abstractmethod
    def installed(self, package: str) -> str:
        """The version of an installed package, empty if it is not installed."""

    @abstractmethod
    def source_of(self, file: Path) -> tuple[str, str]:
        """The (source package, source version) from which the installed `file` was built."""

    @abstractmethod
    def fetch_source(self, package: str, version: str, progress: Progress = SILENT, suite: str = "") -> Path:
        """The unpacked tree of a source package at exactly `version`, with the distribution's patches
        applied.

        `suite` is the release that has it, if it is not this machine's.
        """

    @abstractmethod
    def fetch_newest_source(self, package: str, suite: str, progress: Progress = SILENT) -> Path:
        """The tree of the newest source package in the release `suite` whose files can be downloaded."""

    @abstractmethod
    def fetch_package(
        self, name: str, progress: Progress = SILENT, version: str | None = None, suite: str = ""
    ) -> Path:
        """The folder in the cache with the unpacked package `name` (`usr/`, `lib/`, `boot/` …).

        Without `version`, any copy in the cache is used. `suite` is a release other than this machine's, such
        as `bookworm-backports`; its packages are kept apart.
        """

    def unpack_qemu(self, suite: str, progress: Progress = SILENT) -> Path:
        """A folder that QEMU can have as its root: the release's qemu-system-x86_64 with its firmware, all
        libraries and setpriv, unpacked into the cache. Without a download where one is there.

        Raises MissingPrerequisite.
        """
        raise MissingPrerequisite(
            f"qtrace cannot unpack a QEMU of {self.name} {suite}", hint="name the path of its program instead"
        )

    @abstractmethod
    def kernel(self, progress: Progress = SILENT) -> KernelPackage:
        """The distribution's own x86_64 kernel with all its modules, for guests."""

    @abstractmethod
    def kernel_headers(self, progress: Progress = SILENT) -> Path:
        """The folder of that kernel's headers, with include/ and arch/x86/include/ for a compiler."""


def unknown_source(file: Path, name: str) -> MissingPrerequisite:
    """The error for a file that no package of the distribution `name` owns."""
    return MissingPrerequisite(
        f"{file} does not belong to a package of {name}",
        hint="give the tree from which it was built with 'qtrace index --source TREE'",
    )
