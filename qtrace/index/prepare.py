"""The compiler flags for each file of a tree: those of a build, or flags worked out without a build."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qtrace.distribution.clang_headers import resource_dir
from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite, QtraceError
from qtrace.index.commands import Commands
from qtrace.index.generate import TARGETS, generate
from qtrace.index.inputs import Input, Inputs
from qtrace.index.tree import Tree
from qtrace.progress import Progress

__all__ = ["COMMON", "Prepared", "attempts_of", "glib_flags", "prepare"]

COMMON = "common"
_TARGET, _BASE = TARGETS[0]
# Headers of libraries that back ends use: unpacked in the cache, not installed.
_LIBRARIES = ("libvdeplug-dev", "libfdt-dev", "libxen-dev", "libxdp-dev", "libbpf-dev")


@dataclass(frozen=True, slots=True)
class Prepared:
    """`flags`: a name (`common`, a target's, a build's) -> compiler arguments; `attempts`: file -> names, in
    the order in which they are tried.

    `generated` is the folder of headers that are not in the tree; `made_from` has the input files of the
    headers and of the flags. `missing` lists missing inputs, each of which makes part of the index less
    certain.
    """

    generated: Path
    configuration: str
    flags: Mapping[str, tuple[str, ...]]
    attempts: Mapping[str, tuple[str, ...]]
    made_from: tuple[Input, ...]
    missing: tuple[str, ...]


def prepare(tree: Tree, build: Path | None, progress: Progress) -> Prepared:
    """Work out the flags of every file. Raises SourceError, MissingPrerequisite."""
    generated, made_from = generate(tree, progress)
    libraries, missing = _libraries(progress)
    resource = ("-resource-dir", str(resource_dir()))
    common = (
        *("-std=gnu11", "-m64", "-mcx16", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-D_LARGEFILE_SOURCE"),
        *("-w", "-Wno-implicit-function-declaration", "-Wno-int-conversion", "-ferror-limit=0"),
        *resource,
        *("-isystem", str(generated / "linux-headers"), "-isystem", str(tree.root / "linux-headers")),
        *("-iquote", str(generated), "-iquote", str(tree.root), "-iquote", str(tree.root / "include")),
        *("-iquote", str(tree.root / "tcg" / _BASE)),
        *(
            word
            for folder in (f"host/include/{_TARGET}", "host/include/generic")
            if (tree.root / folder).is_dir()
            for word in ("-iquote", str(tree.root / folder))
        ),
        *glib_flags(),
        *(word for folder in libraries for word in ("-isystem", str(folder))),
    )
    flags = {COMMON: common} | {
        name: (
            *common,
            *("-DNEED_CPU_H", "-DCOMPILING_PER_TARGET"),
            f'-DCONFIG_TARGET="{name}-softmmu-config-target.h"',
            f'-DCONFIG_DEVICES="{name}-softmmu-config-devices.h"',
            *("-iquote", str(tree.root / "target" / base)),
        )
        for name, base in TARGETS
    }
    known = Inputs(tree.root, tree.root)
    made_from += [known.get(name) for name in tree.meson_files()]
    targets = [name for name, _ in TARGETS]
    made_from += [known.get(name) for name in map(tree.boards_file, targets) if (tree.root / name).is_file()]
    attempts = attempts_of(tree)
    configuration = "synthesised: every networking feature on, nothing built"
    if build is not None:
        commands = Commands.of(build, tree)
        flags |= {
            name: (*words, "-w", "-ferror-limit=0", *resource) for name, words in commands.flags.items()
        }
        attempts |= {file: (name,) for file, name in commands.files.items()}
        made_from.append(commands.source)
        left_out = len(tree.files) - len(commands.files)
        configuration = f"that of the build in {build}"
        if left_out:
            missing.append(f"{left_out} files that the build leaves out are read with synthesised flags")
    return Prepared(generated, configuration, flags, attempts, tuple(made_from), tuple(missing))


def attempts_of(tree: Tree) -> dict[str, tuple[str, ...]]:
    """The names of the flags for each file, in the order in which they are tried: each try is a parse."""
    once, conditions = tree.once_a_target(), tree.kconfig()
    boards = {name: tree.boards(name) for name, _ in TARGETS}

    def fits(target: tuple[str, str], file: str) -> bool:
        name, base = target
        symbols = conditions.get(file, "").split()
        return once.get(file) == base or any(re.search(rf"\b{word}\b", boards[name]) for word in symbols)

    found: dict[str, tuple[str, ...]] = {}
    for file in tree.files:
        targets = [name for name, _ in sorted(TARGETS, key=lambda target: not fits(target, file))]
        found[file] = (*targets, COMMON) if file in once else (COMMON, *targets)
    return found


def glib_flags() -> list[str]:
    """The include flags for glib and libslirp. Raises MissingPrerequisite."""
    try:
        said = subprocess.run(
            ["pkg-config", "--cflags", "glib-2.0", "slirp"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        said = None
    if said is None or said.returncode != 0:
        raise MissingPrerequisite(
            "the headers of glib or libslirp are missing",
            hint=distribution().hint("pkg-config", "glib-headers", "slirp-headers"),
        )
    return shlex.split(said.stdout)


def _libraries(progress: Progress) -> tuple[list[Path], list[str]]:
    folders, missing = [], []
    for name in _LIBRARIES:
        try:
            folders.append(distribution().fetch_package(name, progress) / "usr" / "include")
        except QtraceError as exc:
            missing.append(f"the headers of {name} are missing: {exc}")
    return folders, missing
