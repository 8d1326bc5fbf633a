"""Debian's kernel for the guests and the lab machine, unpacked in the cache and not installed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from qtrace.cache import locked
from qtrace.debian import fetch_package, resolve_meta
from qtrace.errors import LabError, MissingPrerequisite
from qtrace.progress import SILENT, Progress

__all__ = ["Kernel", "ensure_kernel"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """`modules` is the folder named after the release, with modules.dep in it."""

    vmlinuz: Path
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
    kernel = Kernel(home / "boot" / f"vmlinuz-{release}", home / "lib" / "modules" / release, release)
    with locked("depmod"):
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


def _module_name(file: str) -> str:
    return Path(file).name.split(".")[0].replace("-", "_")
