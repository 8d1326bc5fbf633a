"""Fedora: packages by dnf, unpacked into the cache; sources are source RPMs.

`dnf download` is part of dnf 5, and in dnf-plugins-core for dnf 4.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, ClassVar

from qtrace.cache import atomic_dir, cache_dir, locked, need_space
from qtrace.distribution.base import Distribution, KernelPackage, NotListed, NotOnMirror, unknown_source
from qtrace.distribution.unpacked import folder_name, merge_headers, merge_kernel, run_tool
from qtrace.errors import MissingPrerequisite
from qtrace.progress import SILENT, Progress

__all__ = ["Fedora", "download_failure", "source_package"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~^:-]*")
# The kernel's image, and its modules: most of the NICs that QEMU emulates need kernel-modules.
_KERNEL = ("kernel-core", "kernel-modules-core", "kernel-modules")


class Fedora(Distribution):
    """Fedora, and distributions derived from it that use dnf."""

    ids = ("fedora",)
    packages: ClassVar[dict[str, str]] = {
        "qemu-system-x86_64": "qemu-system-x86-core",
        "qemu-bridge-helper": "qemu-common",
        "bcc": "python3-bcc",
        "venv": "python3",
        "ip": "iproute",
        "tc": "iproute-tc",
        "ping": "iputils",
        "depmod": "kmod",
        **dict.fromkeys(("setpriv", "nsenter", "unshare"), "util-linux"),
        **dict.fromkeys(("vde_switch", "slirpvde"), "vde2"),
        "nft": "nftables",
        "perl": "perl-interpreter",
        "dpdk-testpmd": "dpdk",
        "funccount-bpfcc": "bcc-tools",
        "dpkg-source": "",  # rpm unpacks sources
        "rpmbuild": "rpm-build",
        "clang-headers": "clang",
        "glib-headers": "glib2-devel",
        "slirp-headers": "libslirp-devel",
        "pkg-config": "pkgconf-pkg-config",
        "libslirp": "libslirp",
    }
    installer = ("dnf", "install")

    def fetch_refused(self) -> str:
        return "" if shutil.which("dnf") else f"dnf is missing, although this is {self.name}"

    def installed(self, package: str) -> str:
        if not shutil.which("rpm"):
            return ""
        done = subprocess.run(
            ["rpm", "-q", "--qf", "%{VERSION}-%{RELEASE}\n", package], capture_output=True, text=True
        )
        return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else ""

    def source_of(self, file: Path) -> tuple[str, str]:
        said = subprocess.run(
            ["rpm", "-q", "--qf", "%{SOURCERPM}\n", "-f", str(file)], capture_output=True, text=True
        )
        if said.returncode != 0 or not said.stdout.strip():
            raise unknown_source(file, self.name)
        return source_package(said.stdout.splitlines()[0])

    def fetch_source(self, package: str, version: str, progress: Progress = SILENT, suite: str = "") -> Path:
        _checked(_NAME, package)
        wanted = f"{package}-{_checked(_VERSION, version)}" if version else package
        target = cache_dir("sources") / f"{package}_{folder_name(version or 'newest')}"
        with locked("dnf"):
            if target.exists():
                return target
            need_space(target.parent, 3000, f"the source of {package}")
            progress.step(f"downloading the source of {wanted}")
            with atomic_dir(target) as work:
                self._download(["--source", *_release(suite), wanted], work)
                archive = next(work.glob("*.src.rpm"))
                progress.step(f"unpacking the source of {wanted}")
                # %prep unpacks the tarball and applies Fedora's patches; nothing is built.
                where = ["--define", f"_topdir {work}/rpm", "--define", "_builddir %{_topdir}"]
                self._tool(["rpm", *where, "-i", str(archive)], "rpmbuild")
                spec = next((work / "rpm").rglob("*.spec"))
                self._tool(["rpmbuild", *where, "--nodeps", "-bp", str(spec)], "rpmbuild")
                _keep_only(_tree_below(work / "rpm"), work)
            progress.done(f"source of {wanted}: unpacked into the cache")
            return target

    def fetch_newest_source(self, package: str, suite: str, progress: Progress = SILENT) -> Path:
        return self.fetch_source(package, "", progress, suite)

    def fetch_package(
        self, name: str, progress: Progress = SILENT, version: str | None = None, suite: str = ""
    ) -> Path:
        _checked(_NAME, name)
        wanted = f"{name}-{_checked(_VERSION, version)}" if version else name
        home = cache_dir("packages", suite) if suite else cache_dir("packages")
        with locked("dnf"):
            have = sorted(home.glob(f"{name}_{folder_name(version) if version else '*'}"))
            if have:
                return have[-1]
            need_space(home, 1200, f"the package {name}")
            progress.step(f"downloading {wanted}")
            download = home / f"{name}.download"
            with atomic_dir(download) as work:
                self._download(["--arch", "x86_64", "--arch", "noarch", *_release(suite), wanted], work)
                archive = next(work.glob("*.rpm"))
                version = self._tool(["rpm", "-qp", "--qf", "%{VERSION}-%{RELEASE}", str(archive)], "rpm")
                self._unpack(archive, work)
                archive.unlink()
            target = home / f"{name}_{folder_name(version)}"
            download.rename(target)
            progress.done(f"{name} {version}: unpacked into the cache")
            return target

    def kernel(self, progress: Progress = SILENT) -> KernelPackage:
        homes = [self.fetch_package(name, progress) for name in _KERNEL]
        release = next(homes[0].glob("lib/modules/*")).name
        return KernelPackage(merge_kernel(release, homes), release)

    def kernel_headers(self, progress: Progress = SILENT) -> Path:
        home = self.fetch_package("kernel-devel", progress)
        return merge_headers(home.name, [home], progress)

    def _download(self, words: Sequence[str], folder: Path) -> None:
        command = ["dnf", "--quiet", "download", *words]
        if refused := self.fetch_refused():
            raise MissingPrerequisite(refused)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise download_failure(" ".join(command), done.stderr.strip() or done.stdout.strip(), self.name)

    def _tool(self, command: Sequence[str], need: str) -> str:
        return run_tool(command, self.hint(need))

    def _unpack(self, archive: Path, folder: Path) -> None:
        """Unpack an RPM's files: rpm2cpio writes the archive that cpio reads."""
        files = folder / "files.cpio"
        with files.open("wb") as out:
            self._pass_on(["rpm2cpio", str(archive)], folder, stdout=out)
        with files.open("rb") as read:
            self._pass_on(["cpio", "-idm", "--quiet"], folder, stdin=read)
        files.unlink()

    def _pass_on(
        self,
        command: Sequence[str],
        folder: Path,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
    ) -> None:
        try:
            done = subprocess.run(command, cwd=folder, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
        except FileNotFoundError as exc:
            raise MissingPrerequisite(f"{command[0]} is not installed", hint=self.hint(command[0])) from exc
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()[-400:]
            raise MissingPrerequisite(f"'{' '.join(command)}' failed: {said}")


def source_package(source_rpm: str) -> tuple[str, str]:
    """(name, version and release) of a source RPM: `qemu-9.2.4-2.fc42.src.rpm` is qemu, 9.2.4-2.fc42."""
    match = re.fullmatch(r"(.+)-([^-]+-[^-]+)\.src\.rpm", source_rpm.strip())
    if not match:
        raise MissingPrerequisite(f"{source_rpm!r} is not the name of a source RPM")
    return match[1], match[2]


def download_failure(command: str, said: str, name: str) -> MissingPrerequisite:
    """The error for a message of `dnf download`."""
    last = said.splitlines()[-1] if said else ""
    if re.search(r"Status code: 404|404 Not Found", said):
        return NotOnMirror(
            f"the mirrors of {name} list a file that they do not have (404): {last}",
            hint="run: dnf clean metadata, then try again",
        )
    if re.search(r"No match for argument|No package .* available|No matches found", said, re.IGNORECASE):
        return NotListed(
            f"the repositories of {name} do not have it: '{command}' said: {last}",
            hint="the installed packages may be older than the mirror's: run 'dnf upgrade'; "
            "or give the tree with 'qtrace index --source TREE'",
        )
    if re.search(r"[Nn]o such command|Unknown argument .*download", said):
        return MissingPrerequisite("dnf has no 'download' here", hint="run: dnf install dnf-plugins-core")
    return MissingPrerequisite(
        f"'{command}' failed:\n{said[-400:]}", hint="check that the mirrors can be reached"
    )


def _release(suite: str) -> list[str]:
    return [f"--releasever={_checked(_NAME, suite)}"] if suite else []


def _tree_below(folder: Path) -> Path:
    """The unpacked source: the top-most folder that contains a meson.build or a configure."""
    found = [path.parent for name in ("meson.build", "configure") for path in folder.rglob(name)]
    if not found:
        raise MissingPrerequisite("the source RPM has no tree with a meson.build or a configure in it")
    return min(found, key=lambda path: len(path.parts))


def _keep_only(tree: Path, work: Path) -> None:
    """Move the tree's content to `work`, and remove everything else in it."""
    inside = work.with_name(f"{work.name}.tree")
    tree.rename(inside)
    for item in work.iterdir():
        shutil.rmtree(item) if item.is_dir() else item.unlink()
    for item in inside.iterdir():
        item.rename(work / item.name)
    inside.rmdir()


def _checked(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise MissingPrerequisite(f"{text!r} is not the name or version of a package")
    return text
