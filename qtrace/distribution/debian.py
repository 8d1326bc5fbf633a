"""Debian: its packages and sources, unpacked into the cache; nothing is installed."""

from __future__ import annotations

import functools
import json
import re
import shutil
from pathlib import Path
from typing import ClassVar

from qtrace.cache import atomic_dir, atomic_file, cache_dir, locked, need_space
from qtrace.distribution.apt import Apt, no_archive
from qtrace.distribution.apt_sources import Archive, archives
from qtrace.distribution.base import Distribution, KernelPackage, NotListed, NotOnMirror, unknown_source
from qtrace.distribution.dpkg import compare, installed_packages, newest_of, query
from qtrace.distribution.unpacked import folder_name, merge_headers, merge_kernel, merge_root, run_tool
from qtrace.errors import MissingPrerequisite
from qtrace.progress import SILENT, Progress

__all__ = ["Debian", "depends_on"]

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~:-]*")
# What is unpacked of all that apt would install with QEMU: nothing that runs once or looks after a system.
_OF_QEMU = ("lib", "zlib", "qemu-system-", "seabios", "ipxe-qemu", "util-linux")


class Debian(Distribution):
    """Debian, and the base class for distributions with archives like Debian's."""

    ids = ("debian",)
    tried = True
    sound_emulator = "trixie"
    packages: ClassVar[dict[str, str]] = {
        "qemu-system-x86_64": "qemu-system-x86",
        "qemu-bridge-helper": "qemu-system-common",
        "bcc": "python3-bpfcc",
        "venv": "python3-venv",
        **dict.fromkeys(("ip", "tc"), "iproute2"),
        "ping": "iputils-ping",
        "busybox": "busybox-static",
        "depmod": "kmod",
        **dict.fromkeys(("setpriv", "nsenter", "unshare"), "util-linux"),
        "vde_switch": "vde-switch",
        "slirpvde": "vde2",
        "nft": "nftables",
        "perl": "perl-base",
        "dpdk-testpmd": "dpdk-dev",
        "funccount-bpfcc": "bpfcc-tools",
        "dpkg-source": "dpkg-dev",
        "pkg-config": "pkg-config",
        "glib-headers": "libglib2.0-dev",
        "slirp-headers": "libslirp-dev",
        # A pattern: an installed package that matches it, else the newest in the package lists.
        "clang-headers": r"libclang-common-[0-9]+-dev",
        "libslirp": "libslirp0",
    }
    installer = ("apt-get", "install")
    etc = Path("/etc/apt")
    """The folder of the user's apt configuration."""
    kernel_meta: ClassVar[str] = "linux-image-amd64"
    headers_meta: ClassVar[str] = "linux-headers-amd64"

    def package(self, need: str) -> str:
        found = super().package(need)
        return newest_of(found) if need == "clang-headers" else found

    def own(self, archive: Archive) -> bool:
        """Whether the archive is Debian's own; third parties rarely provide sources."""
        return "main" in archive.components.split() and (
            "debian-archive" in archive.signed_by or "debian" in archive.uris
        )

    def fetch_refused(self) -> str:
        if not shutil.which("apt-get"):
            return f"apt-get is missing, although this is {self.name}"
        named = any(self.own(archive) for archive in archives(self.etc))
        return "" if named else no_archive(self.name)

    def kept_kernel(self) -> KernelPackage | None:
        kept = _kept(self.kernel_meta)
        if not kept.exists():
            return None
        _, parts = json.loads(kept.read_text())
        homes = cache_dir("packages")
        whole = all(any(homes.glob(f"{name}_{folder_name(version or '*')}")) for name, version in parts)
        return self.kernel() if whole else None

    def installed(self, package: str) -> str:
        return installed_packages().get(package, "")

    def source_of(self, file: Path) -> tuple[str, str]:
        found = query(["dpkg-query", "-S", str(file)])
        if not found and not str(file).startswith("/usr"):
            found = query(["dpkg-query", "-S", f"/usr{file}"])
        if not found:
            raise unknown_source(file, self.name)
        package = found.split(": ")[0].split(",")[0]
        answer = query(["dpkg-query", "-W", "-f", "${source:Package} ${source:Version}", package])
        if answer.count(" ") != 1:
            raise unknown_source(file, self.name)
        name, version = answer.split(" ")
        return name, version

    def fetch_source(self, package: str, version: str, progress: Progress = SILENT, suite: str = "") -> Path:
        _checked(_NAME, package)
        _checked(_VERSION, version)
        target = cache_dir("sources") / f"{package}_{folder_name(version)}"
        with locked("apt"):
            if target.exists():
                return target
            need_space(target.parent, 2000, f"the source of {package}")
            progress.step(f"downloading the source of {package} {version}")
            download = target.with_name(f"{target.name}.download")
            with atomic_dir(download) as work:
                wanted = f"{package}={version}"
                try:
                    self._apt(suite).ask(progress, "apt-get", "source", "--download-only", wanted, cwd=work)
                except NotOnMirror as exc:
                    hint = f"{exc.hint}; 'qtrace index --debian SUITE' takes the newest one available"
                    raise NotOnMirror(str(exc), hint=hint) from exc
            progress.step(f"unpacking the source of {package} {version}")
            try:
                dsc = next(download.glob("*.dsc"))
                with atomic_dir(target) as work:
                    # apt has already checked the hashes against the signed lists.
                    unpack = ["dpkg-source", "--no-check", "--no-copy", "-x", str(dsc), str(work / "tree")]
                    run_tool(unpack, self.hint("dpkg-source"))
                    tree = work / "tree"
                    for item in tree.iterdir():
                        item.rename(work / item.name)
                    tree.rmdir()
            finally:
                shutil.rmtree(download, ignore_errors=True)
            progress.done(f"source of {package} {version}: unpacked into the cache")
            return target

    def fetch_newest_source(self, package: str, suite: str, progress: Progress = SILENT) -> Path:
        versions = self.source_versions(package, suite, progress)
        for version in versions:
            try:
                return self.fetch_source(package, version, progress, suite)
            except NotOnMirror as exc:
                if version == versions[-1]:
                    raise
                progress.warn(
                    f"{package} {version} of {suite} is not available, the version before is used: {exc}"
                )
        raise NotListed(f"{self.name} {suite} has no source package {package}")

    def source_versions(self, package: str, suite: str, progress: Progress = SILENT) -> list[str]:
        """The versions of a source package in a release, newest first."""
        _checked(_NAME, package)
        _checked(_NAME, suite)
        with locked("apt"):
            shown = self._apt(suite).ask(progress, "apt-cache", "showsrc", "--only-source", package)
        return sorted(
            set(re.findall(r"^Version: (\S+)", shown, re.MULTILINE)),
            key=functools.cmp_to_key(compare),
            reverse=True,
        )

    def fetch_package(
        self, name: str, progress: Progress = SILENT, version: str | None = None, suite: str = ""
    ) -> Path:
        _checked(_NAME, name)
        wanted = _checked(_VERSION, version) if version else None
        home = _home(suite)
        with locked("apt"):
            have = sorted(home.glob(f"{name}_{folder_name(wanted) if wanted else '*'}"))
            if have:
                return have[-1]
            need_space(home, 1200, f"the package {name}")
            apt = self._apt(suite)
            if wanted is None:
                shown = apt.ask(progress, "apt-cache", "show", "--no-all-versions", name)
                match = re.search(r"^Version: (\S+)", shown, re.MULTILINE)
                if not match:
                    raise NotListed(f"{self.name} has no package {name}")
                wanted = match[1]
            progress.step(f"downloading {name} {wanted}")
            target = home / f"{name}_{folder_name(wanted)}"
            with atomic_dir(target) as work:
                apt.ask(progress, "apt-get", "download", f"{name}={wanted}", cwd=work)
                archive = next(work.glob("*.deb"))
                run_tool(["dpkg-deb", "-x", str(archive), str(work)], self.hint("dpkg-source"))
                archive.unlink()
            progress.done(f"{name} {wanted}: unpacked into the cache")
            return target

    def unpack_qemu(self, suite: str, progress: Progress = SILENT) -> Path:
        _checked(_NAME, suite)
        homes = cache_dir("roots")
        program = self.packages["qemu-system-x86_64"]
        if have := sorted(homes.glob(f"{suite}_*"), key=lambda home: home.stat().st_mtime):
            return have[-1]
        progress.step(f"asking apt what the QEMU of {suite} needs")
        ask = ("apt-get", "-s", "--no-install-recommends", "install")  # as if nothing were installed
        with locked("apt"):
            said = self._apt(suite).ask(progress, *ask, program, self.packages["setpriv"])
        listed = dict(re.findall(r"^Inst (\S+) \((\S+) ", said, re.MULTILINE))
        wanted = {name: version for name, version in listed.items() if name.startswith(_OF_QEMU)}
        parts = [self.fetch_package(name, progress, version, suite) for name, version in wanted.items()]
        version = folder_name(wanted.get(program, ""))
        return merge_root(homes / f"{suite}_{version}", parts, progress)

    def kernel(self, progress: Progress = SILENT) -> KernelPackage:
        release, homes = self._release_packages(self.kernel_meta, "linux-image-", progress)
        return KernelPackage(merge_kernel(release, homes), release)

    def kernel_headers(self, progress: Progress = SILENT, suite: str = "") -> Path:
        """Debian splits a release's headers in two packages: common headers, and the flavour's own. `suite`
        is another release of Debian, or the backports for one (`bookworm-backports`)."""
        release, homes = self._release_packages(self.headers_meta, "linux-headers-", progress, suite)
        return merge_headers(release, homes, progress)

    def _release_packages(
        self, meta: str, stem: str, progress: Progress, suite: str = ""
    ) -> tuple[str, list[Path]]:
        """The release that a meta package stands for, and the packages that contain its files."""
        release, parts = self._parts(meta, stem, progress, suite)
        try:
            return release, [self.fetch_package(name, progress, version, suite) for name, version in parts]
        except (NotListed, NotOnMirror):
            # The mirror has a newer release than the cached answer.
            _kept(meta, suite).unlink(missing_ok=True)
            release, parts = self._parts(meta, stem, progress, suite)
            return release, [self.fetch_package(name, progress, version, suite) for name, version in parts]

    def _parts(
        self, meta: str, stem: str, progress: Progress, suite: str
    ) -> tuple[str, list[tuple[str, str | None]]]:
        """A release and its packages, each with its version if the meta package gives one, common ones first.

        The answer is kept in the cache, so that the release stays the same between commands; it is asked for
        again after the cache is deleted.
        """
        if suite:
            _checked(_NAME, suite)
        kept = _kept(meta, suite)
        with locked("apt"):
            if kept.exists():
                release, parts = json.loads(kept.read_text())
                return release, [(name, version) for name, version in parts]
            apt = self._apt(suite)

            def depends(name: str) -> dict[str, str | None]:
                return depends_on(apt.ask(progress, "apt-cache", "show", "--no-all-versions", name))

            needs = depends(meta)
            first = next((name for name in needs if re.match(rf"{stem}[0-9]", name)), "")
            if not first:
                raise MissingPrerequisite(f"{meta} of {self.name} does not name its release")
            release = first.removeprefix(stem)
            needs |= depends(first)
            whole = {first: needs[first]} | {
                name: version for name, version in needs.items() if _is_part(name, release, stem)
            }
            parts = sorted(whole.items(), key=lambda part: part[0] == first)
            with atomic_file(kept) as beside:
                beside.write_text(json.dumps([release, parts]))
            return release, parts

    def _apt(self, suite: str = "") -> Apt:
        return Apt(self.name, [archive for archive in archives(self.etc) if self.own(archive)], suite)


def _kept(meta: str, suite: str = "") -> Path:
    return _home(suite) / f"{meta}.parts.json"


def _home(suite: str = "") -> Path:
    """Where packages are unpacked: those of another release apart."""
    return cache_dir("packages", suite) if suite else cache_dir("packages")


def _is_part(name: str, release: str, stem: str) -> bool:
    """Whether a package of the Linux source has files of this release: `linux-modules-6.8.0-50-generic`; of
    headers the common ones, `linux-headers-6.8.0-50` or `linux-headers-6.12.117+deb13-common`, and not the
    kernel, on which they may depend."""
    if stem == "linux-headers-":
        return name.startswith(stem + release.rpartition("-")[0])
    return name.startswith("linux-") and name.endswith(f"-{release}")


def depends_on(shown: str) -> dict[str, str | None]:
    """The packages in the `Depends:` line of apt-cache's output: the first alternative of each, and its
    version if it is an exact one. Debian's policy, chapter 7, describes package relations."""
    found: dict[str, str | None] = {}
    for line in re.findall(r"^(?:Pre-)?Depends: (.*)", shown, re.MULTILINE):
        for item in line.split(","):
            match = re.match(r"\s*([a-z0-9][a-z0-9+.-]*)(?::\w+)?(?:\s*\(=\s*([^)\s]+)\))?", item)
            if match:
                found[match[1]] = match[2]
    return found


def _checked(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise MissingPrerequisite(f"{text!r} is not the name or version of a Debian package")
    return text
