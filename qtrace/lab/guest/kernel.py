"""The distribution's kernel for the guests and the lab machine, unpacked in the cache, not installed."""

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
    """`modules` is the folder named after the release, which contains modules.dep. `image` is the file for
    QEMU's -kernel: decompressed if possible."""

    image: Path
    modules: Path
    release: str

    def closure(self, names: list[str]) -> list[Path]:
        """The files of these modules and of all modules that they depend on, in the order of loading.

        A module that is built into the kernel has no file. Raises LabError for an unknown module.
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
            # modules.dep lists a module's dependencies with the deepest last.
            for item in [*reversed(needs), file]:
                wanted.setdefault(item)
        return [self.modules / item for item in wanted]


def ensure_kernel(progress: Progress = SILENT) -> Kernel:
    """The distribution's own kernel, downloaded if it is not in the cache."""
    return open_kernel(distribution().kernel(progress), progress)


def open_kernel(package: KernelPackage, progress: Progress = SILENT) -> Kernel:
    """The kernel of an unpacked package, with its image as an ELF file, and with modules.dep."""
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
    """The folder of the modules: below lib/, since Debian 13 below usr/lib/."""
    places = [home / part / release for part in _MODULES]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise LabError(f"the kernel {release} has no modules in {home}: neither {' nor '.join(_MODULES)}")
    return found


def _link_modules(home: Path, modules: Path) -> None:
    """Link both places where depmod may look, which depends on its build, to the modules."""
    for place in (home / part for part in _MODULES):
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(modules.resolve())


def _elf(image: Path, progress: Progress) -> Path:
    """The ELF kernel inside a bzImage, in the cache or beside it; `image` itself if it cannot be
    decompressed.

    An emulated processor takes eight seconds to decompress Debian's kernel, and QEMU boots the ELF file
    directly (PVH, hw/i386/x86.c).
    """
    name = image.name.replace("vmlinuz", "vmlinux", 1)
    target = image.with_name(name)
    if not os.access(image.parent, os.W_OK) or not image.is_relative_to(cache_dir()):
        target = cache_dir("kernels") / f"{name}-{image.stat().st_mtime_ns:x}"
    if not target.exists():
        elf = kernel_in(image.read_bytes())
        if elf is None:
            progress.warn(f"{image.name} has an unknown compression: guests start slower")
            return image
        with atomic_file(target) as beside:
            beside.write_bytes(elf)
    return target


def _module_name(file: str) -> str:
    return Path(file).name.split(".")[0].replace("-", "_")
