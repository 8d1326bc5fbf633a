"""Debian's kernel for the guests and the lab machine, unpacked in the cache and not installed."""

from __future__ import annotations

import lzma
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from qtrace.cache import atomic_file, locked
from qtrace.distribution.debian import fetch_package, resolve_meta
from qtrace.errors import LabError, MissingPrerequisite
from qtrace.progress import SILENT, Progress

__all__ = ["Kernel", "ensure_kernel"]


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
    """The kernel that `linux-image-amd64` stands for, fetched if the cache lacks it.

    The cloud image would be smaller but has neither e1000 nor 8139.
    """
    package, version = resolve_meta("linux-image-amd64", progress)
    home = fetch_package(package, progress, version)
    release = package.removeprefix("linux-image-")
    image = home / "boot" / f"vmlinuz-{release}"
    with locked("depmod"):
        image = _unpacked(image)
        kernel = Kernel(image, home / "lib" / "modules" / release, release)
        if not (kernel.modules / "modules.dep").exists():
            try:
                said = subprocess.run(["depmod", "-b", str(home), release], capture_output=True, text=True)
            except FileNotFoundError as exc:
                raise MissingPrerequisite(
                    "the program 'depmod' is missing", hint="run: apt-get install kmod"
                ) from exc
            if said.returncode != 0:
                raise LabError(f"depmod failed for {kernel.modules}: {said.stderr.strip()}")
    return kernel


def _unpacked(image: Path) -> Path:
    """The ELF kernel inside a bzImage, beside it; `image` itself if that is packed with anything but xz.

    An emulated processor takes eight seconds to unpack Debian's kernel, and QEMU boots the ELF file as
    it is (PVH, hw/i386/x86.c). The header is in the kernel's Documentation/arch/x86/boot.rst.
    """
    target = image.with_name(image.name.replace("vmlinuz", "vmlinux", 1))
    if not target.exists():
        data = image.read_bytes()
        try:
            start = ((data[0x1F1] or 4) + 1) * 512
            offset, length = struct.unpack_from("<II", data, 0x248)
            packed = data[start + offset : start + offset + length]
            elf = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed)
        except (lzma.LZMAError, struct.error, IndexError):
            return image
        if not elf.startswith(b"\x7fELF"):
            return image
        with atomic_file(target) as beside:
            beside.write_bytes(elf)
    return target


def _module_name(file: str) -> str:
    return Path(file).name.split(".")[0].replace("-", "_")
