"""Packages that are unpacked in the cache: their folders' names, and merging several into one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from qtrace.cache import atomic_dir, cache_dir, locked
from qtrace.errors import MissingPrerequisite
from qtrace.progress import Progress

__all__ = ["folder_name", "merge_headers", "merge_kernel", "merge_root", "overlay_headers", "run_tool"]

# What a program needs of the running system, and the place for the root that it left.
_PLACES = ("proc", "dev", "sys", "run", "tmp", "old")
_PARTS = (("usr", "usr"), ("lib", "usr/lib"), ("lib64", "usr/lib64"))
_NOT_READ = shutil.ignore_patterns("doc", "man", "locale", "info", "lintian", "bash-completion")


def folder_name(version: str) -> str:
    """A version as a folder's name; a colon (the epoch) would split overlay and search paths."""
    return version.replace(":", "_")


def run_tool(command: Sequence[str], hint: str, cwd: Path | None = None) -> str:
    """The output of a tool that unpacks or queries packages. Raises MissingPrerequisite, with `hint` if the
    tool is missing."""
    if not shutil.which(command[0]):
        raise MissingPrerequisite(f"{command[0]} is not installed", hint=hint)
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-400:]
        raise MissingPrerequisite(f"'{' '.join(command)}' failed: {said}")
    return done.stdout


def merge_kernel(release: str, homes: Sequence[Path]) -> Path:
    """The folder with the kernel image and all its modules, for a release that is split into several
    packages.

    The files are linked, not copied: they are on one file system.
    """
    with_files = [home for home in homes if any(home.glob("boot/vmlinuz-*")) or _modules(home)]
    if len(with_files) == 1:
        return with_files[0]
    target = cache_dir("kernels") / f"{release}_{homes[-1].name.rpartition('_')[2]}"
    with locked("kernels"):
        if not target.exists():
            with atomic_dir(target) as work:
                for home in with_files:
                    shutil.copytree(home, work, symlinks=True, dirs_exist_ok=True, copy_function=os.link)
    return target


def _modules(home: Path) -> list[Path]:
    return [*home.glob("lib/modules/*"), *home.glob("usr/lib/modules/*")]


def merge_headers(name: str, homes: Sequence[Path], progress: Progress) -> Path:
    """One folder of kernel headers from packages with a part each; later packages override earlier ones."""
    target = cache_dir("headers") / homes[-1].name
    with locked("headers"):
        if not target.exists():
            progress.step(f"merging the kernel headers {name}")
            with atomic_dir(target) as work:
                overlay_headers(homes, work)
            progress.done(f"kernel headers {name}: merged in the cache")
    return target


def merge_root(target: Path, homes: Sequence[Path], progress: Progress) -> Path:
    """The folder `target` as the root of a small system of the packages in `homes`; made if it is not there.

    The files are linked, not copied. Its list of packages is in the file `packages`, one a line.
    """
    with locked("roots"):
        if target.exists():
            return target
        progress.step(f"merging {len(homes)} packages into {target.name}")
        with atomic_dir(target) as work:
            for name in ("usr/bin", "usr/lib", "usr/lib64", *_PLACES):
                (work / name).mkdir(parents=True)
            for name in ("bin", "lib", "lib64"):
                (work / name).symlink_to(f"usr/{name}")
            for home in homes:
                for part, place in _PARTS:
                    if (home / part).is_dir() and not (home / part).is_symlink():
                        shutil.copytree(
                            home / part,
                            work / place,
                            symlinks=True,
                            dirs_exist_ok=True,
                            ignore=_NOT_READ,
                            copy_function=os.link,
                        )
            (work / "packages").write_text("".join(f"{home.name}\n" for home in homes))
        progress.done(f"{target.name}: a root for its QEMU is in the cache")
    return target


def overlay_headers(packages: Iterable[Path], target: Path) -> None:
    """The kernel headers of several packages as one tree: common headers first, then the flavour's own."""
    for package in packages:
        for folder in (*package.glob("usr/src/linux-headers-*"), *package.glob("usr/src/kernels/*")):
            _overlay(folder, target)


def _overlay(source: Path, target: Path) -> None:
    """Copy what a compiler reads of a header tree over another."""
    for part in ("include", "arch/x86/include"):
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, symlinks=True, dirs_exist_ok=True)
    for name in ("Makefile", ".config"):
        if (source / name).is_file():
            shutil.copy2(source / name, target / name)
