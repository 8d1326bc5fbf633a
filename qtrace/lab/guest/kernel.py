"""The distribution's kernel for the guests and the lab machine, unpacked in the cache and not installed."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from qtrace.cache import atomic_file, cache_dir, locked
from qtrace.distribution.base import KernelPackage
from qtrace.distribution.identity import distribution
from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.guest.decompress import kernel_in
from qtrace.progress import SILENT, Progress

__all__ = ["Kernel", "ensure_kernel", "open_kernel"]

_MODULES = ("lib/modules", "usr/lib/modules")


@dataclass(frozen=True, slots=True)
class Kernel:
    """`modules` is the folder named after the release, with modules.dep in it. `image` is what QEMU's
    -kernel gets: unpacked where that is possible."""

    image: Path
    modules: Path
    release: str

    def closure(self, names: list[str]) -> list[Path]:
        """The files of these modules and all they depend on, in the order in which to load them.

        A name that the kernel has built in has no file. Raises LabError for one it does not have.
        """
        depends: dict[str, tuple[str, list[str]]] = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            file, _, rest = line.partition(":")
            depends[_module_name(file)] = (file, rest.split())
        builtin = {_module_name(line) for line in (self.modules / "modules.builtin").read_text().splitlines()}
        wanted: dict[str, None] = {}
        for name in (name.replace("-", "_") for name in names):
            if name in builtin:
                continue
            if name not in depends:
                raise LabError(f"kernel {self.release} has no module {name!r}")
            file, needs = depends[name]
            # modules.dep lists a module's needs so that the deepest stands last.
            for item in [*reversed(needs), file]:
                wanted.setdefault(item)
        return [self.modules / item for item in wanted]


def ensure_kernel(progress: Progress = SILENT) -> Kernel:
    """The distribution's own kernel, fetched if the cache lacks it."""
    return open_kernel(distribution().kernel(progress), progress)


def open_kernel(package: KernelPackage, progress: Progress = SILENT) -> Kernel:
    """The kernel of an unpacked package, its image made an ELF file and its modules.dep made."""
    home, release = package.home, package.release
    with locked("depmod"):
        modules = _modules(home, release)
        packed = [home / "boot" / f"vmlinuz-{release}", modules / "vmlinuz"]
        image = next((path for path in packed if path.is_file()), None)
        if image is None:
            raise LabError(f"the kernel {release} has no image in {home}")
        if not (modules / "modules.dep").exists():
            _link_modules(home, modules.parent)
            try:
                said = subprocess.run(["depmod", "-b", str(home), release], capture_output=True, text=True)
            except FileNotFoundError as exc:
                raise MissingPrerequisite(
                    "the program 'depmod' is missing", hint=distribution().hint("depmod")
                ) from exc
            if said.returncode != 0:
                raise LabError(f"depmod failed for {modules}: {said.stderr.strip()}")
        return Kernel(_elf(image, progress), modules, release)


def _modules(home: Path, release: str) -> Path:
    """The folder of the modules: under lib/, since Debian 13 under usr/lib/."""
    places = [home / part / release for part in _MODULES]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise LabError(f"the kernel {release} has no modules in {home}: neither {' nor '.join(_MODULES)}")
    return found


def _link_modules(home: Path, modules: Path) -> None:
    """depmod looks in the one place or in the other, as it was built: each is made to lead to the modules."""
    for place in (home / part for part in _MODULES):
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(modules.resolve())


def _elf(image: Path, progress: Progress) -> Path:
    """The ELF kernel inside a bzImage, in the cache or beside it; `image` itself if that cannot be unpacked.

    An emulated processor takes eight seconds to unpack Debian's kernel, and QEMU boots the ELF file as
    it is (PVH, hw/i386/x86.c).
    """
    name = image.name.replace("vmlinuz", "vmlinux", 1)
    target = image.with_name(name)
    if not os.access(image.parent, os.W_OK) or not image.is_relative_to(cache_dir()):
        target = cache_dir("kernels") / f"{name}-{image.stat().st_mtime_ns:x}"
    if not target.exists():
        elf = kernel_in(image.read_bytes())
        if elf is None:
            progress.warn(f"{image.name} is packed in a way that is not known here: guests start slower")
            return image
        with atomic_file(target) as beside:
            beside.write_bytes(elf)
    return target


def _module_name(file: str) -> str:
    return Path(file).name.split(".")[0].replace("-", "_")
