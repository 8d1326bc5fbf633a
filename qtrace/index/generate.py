"""Generated headers without a build: made by the tree's own generators, with a configuration header.

The tree is only read. All output goes to a folder of the cache, one for each content of the generators'
input. The configuration enables every networking feature, so that no back end is missing because this
machine lacks its library.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qtrace.cache import atomic_dir, cache_dir, locked
from qtrace.errors import SourceError
from qtrace.index.inputs import Input, Inputs, digest
from qtrace.index.tree import Tree
from qtrace.progress import Progress

__all__ = ["TARGETS", "generate"]

# Increase this number with each change of the generated files.
_GENERATION = 7
# (target, its folder in target/): code that compiles for one target only is tried with each in turn.
TARGETS = (("x86_64", "i386"), ("ppc64", "ppc"), ("s390x", "s390x"))
_TARGET, _BASE = TARGETS[0]
_TRIED = ("7.2", "10.0", "10.2")  # releases whose generators were tested with these calls

# Features and facts of a Linux host that configure would find. Names that a tree does not know do no harm.
_DEFINED = """
POSIX LINUX SOFTMMU SYSTEM_ONLY SLIRP VDE L2TPV3 NET_BRIDGE AF_XDP PASST TPM
VHOST VHOST_NET VHOST_NET_USER VHOST_NET_VDPA VHOST_KERNEL VHOST_USER VHOST_VDPA VHOST_CRYPTO
ACCEPT4 DUP3 EPOLL EPOLL_CREATE1 EVENTFD SIGNALFD TIMERFD PPOLL INOTIFY INOTIFY1 PREADV SENDFILE SPLICE
FALLOCATE FALLOCATE_PUNCH_HOLE FALLOCATE_ZERO_RANGE FDATASYNC FIEMAP GETRANDOM GETTID GETAUXVAL IOVEC
MADVISE POSIX_MADVISE POSIX_MEMALIGN POSIX_FALLOCATE MEMALIGN VALLOC MALLOC_TRIM MEMFD MEMBARRIER STATX
SYNCFS SYNC_FILE_RANGE SYSMACROS OPEN_BY_HANDLE SETNS LINUX_MAGIC_H BYTESWAP_H CPUID_H INT128 ATOMIC64
CMPXCHG128 COROUTINE_POOL PTHREAD_SETNAME_NP_W_TID PTHREAD_AFFINITY_NP PTHREAD_CONDATTR_SETCLOCK
PRCTL_PR_SET_TIMERSLACK CLOCK_ADJTIME RTNETLINK TRACE_LOG QOM_CAST_DEBUG KVM TCG FDT AF_VSOCK XEN_BACKEND
"""
_HAVE = """
HAVE_GETIFADDRS HAVE_OPENPTY HAVE_PTY_H HAVE_STRCHRNUL HAVE_STRUCT_STAT_ST_ATIM HAVE_SYSTEM_FUNCTION
HAVE_IPPROTO_MPTCP HAVE_MLOCKALL HAVE_SIGEV_NOTIFY_THREAD_ID HAVE_COPY_FILE_RANGE HAVE_UTMPX HAVE_FSXATTR
HOST_X86_64
"""
_STRINGS = (
    *("BINDIR", "PREFIX", "QEMU_CONFDIR", "QEMU_DATADIR", "QEMU_DESKTOPDIR", "QEMU_FIRMWAREPATH"),
    *("QEMU_HELPERDIR", "QEMU_ICONDIR", "QEMU_LOCALEDIR", "QEMU_LOCALSTATEDIR", "QEMU_MODDIR", "SYSCONFDIR"),
    *("HOST_DSOSUF", "STAMP", "SMBD_COMMAND", "TLS_PRIORITY", "IASL"),
)
# What a program of the build writes into target/s390x/gen-features.h: the CPU features of each model.
_MAINFRAME = "hw/s390x"
_FEATURE_LIST, _FEATURE_GROUP = re.compile(r"\bS390_FEAT_LIST_\w+"), re.compile(r"\bS390_FEAT_GROUP_\w+")
_MAKEFILES = tuple(f"{target}-softmmu.mak" for target, _ in TARGETS)


def generate(tree: Tree, progress: Progress) -> tuple[Path, list[Input]]:
    """The folder of generated headers, and the files of the tree from which they were made.

    Raises SourceError if a generator fails.
    """
    inputs = Inputs(tree.root, tree.root)
    made_from = [inputs.get(name) for name in sorted(_sources(tree.root))]
    key = digest(str(_GENERATION), *(f"{item.name} {item.sha256}" for item in made_from))
    target = cache_dir("generated") / f"{tree.version}-{key[:16]}"
    with locked(f"generated-{key[:16]}"):
        if not target.exists():
            progress.step("generating headers with the tree's own generators")
            with atomic_dir(target) as work:
                _generate(tree, [item.name for item in made_from], work)
    return target, made_from


def _sources(root: Path) -> Iterator[str]:
    """The input files of the generators, and the generators themselves."""
    for folder, below, files in os.walk(root):
        # Files of a packager, and a build folder inside the tree.
        below[:] = [name for name in below if not name.startswith(".") and not _is_build(folder, name)]
        place = os.path.relpath(folder, root)
        script = place == "scripts" or place.startswith(("scripts/qapi", "scripts/tracetool"))
        for name in files:
            if (
                name == "trace-events"
                or (name == "Kconfig" and place.startswith("hw"))
                or (name.endswith(".hx") and place == ".")
                or (name.endswith(".json") and place.startswith("qapi"))
                or (script and (name.endswith(".py") or name == "hxtool"))
                or (place == "configs/targets" and name in _MAKEFILES)
                or (place == _MAINFRAME and name.endswith(".c"))
            ):
                yield os.path.normpath(f"{place}/{name}")


def _is_build(folder: str, name: str) -> bool:
    return Path(folder, name, "build.ninja").exists()


def _generate(tree: Tree, sources: Sequence[str], out: Path) -> None:
    (out / "qapi").mkdir()
    (out / "trace").mkdir()
    # All paths are relative to the top of the tree, so that the output does not contain the tree's folder.
    qapi = ["scripts/qapi-gen.py", "-o", str(out / "qapi"), "-b", "qapi/qapi-schema.json"]
    jobs: list[tuple[list[str], Path | None]] = [(qapi, None)]
    for events in (name for name in sources if Path(name).name == "trace-events"):
        folder = str(Path(events).parent)
        group = "root" if folder == "." else re.sub(r"\W", "_", folder)
        trace = out / "trace" / f"trace-{group}.h"
        argv = ["scripts/tracetool.py", "--backend=log", f"--group={group}", "--format=h"]
        jobs.append(([*argv, events, str(trace)], None))
    for table, name in (
        ("qemu-options.hx", "qemu-options.def"),
        ("hmp-commands.hx", "hmp-commands.h"),
        ("hmp-commands-info.hx", "hmp-commands-info.h"),
    ):
        jobs.append((["scripts/hxtool", "-h", table], out / name))
    with ThreadPoolExecutor(2) as pool:
        for result in [pool.submit(_run_generator, tree, argv, to) for argv, to in jobs]:
            result.result()
    # net/trace.h of the tree includes "trace/trace-net.h"; some groups are included from the top.
    _write_config(tree, sources, out)


def _why_not(version: str) -> str:
    """A hint for a tree whose generator fails."""
    oldest = tuple(map(int, _TRIED[0].split(".")))
    if tuple(map(int, version.split(".")[:2])) < oldest:
        return f"QEMU {version}: releases before {_TRIED[0]} are not supported (tried: {', '.join(_TRIED)})"
    return "is the tree complete and unchanged?"


def _run_generator(tree: Tree, argv: Sequence[str], into: Path | None) -> None:
    root = tree.root
    hxtool = argv[0].endswith("hxtool")
    command = ["sh", *argv] if hxtool else [sys.executable, "-B", *argv]
    # Some releases' hxtool reads its file from stdin, others' by name.
    with Path(root, argv[-1] if hxtool else "/dev/null").open("rb") as stdin:
        said = subprocess.run(command, stdin=stdin, capture_output=True, cwd=root)
    if said.returncode != 0:
        tail = said.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise SourceError(f"{root}/{argv[0]} failed: {' '.join(tail)}", hint=_why_not(tree.version))
    if into is not None:
        into.write_bytes(said.stdout)


def _write_config(tree: Tree, sources: Sequence[str], out: Path) -> None:
    major, minor, micro = tree.version.split(".")
    lines = [f"#define CONFIG_{name} 1" for name in _DEFINED.split()]
    lines += [f"#define {name} 1" for name in _HAVE.split()]
    lines += [f'#define CONFIG_{name} ""' for name in _STRINGS]
    lines += [
        f'#define QEMU_VERSION "{tree.version}"',
        f"#define QEMU_VERSION_MAJOR {major}",
        f"#define QEMU_VERSION_MINOR {minor}",
        f"#define QEMU_VERSION_MICRO {micro}",
        "#define CONFIG_BDRV_RW_WHITELIST",
        "#define CONFIG_BDRV_RO_WHITELIST",
        "#define CONFIG_XEN_CTRL_INTERFACE_VERSION 41700",
        '#define CONFIG_TRACE_FILE "trace-"',
        "#define CONFIG_AUDIO_DRIVERS",
    ]
    (out / "config-host.h").write_text("\n".join(lines) + "\n")
    (out / "config-poison.h").write_text("")
    shutil.copytree(tree.root / "linux-headers" / "asm-x86", out / "linux-headers" / "asm")
    # Every device that a Kconfig file of the tree declares: a build may leave a device out, but the index has
    # it.
    symbols = set()
    for name in sources:
        if name.endswith("/Kconfig"):
            text = (tree.root / name).read_text(errors="replace")
            symbols |= set(re.findall(r"^\s*config\s+(\w+)", text, re.MULTILINE))
    devices = "\n".join(f"#define CONFIG_{name} 1" for name in sorted(symbols))
    for target, base in TARGETS:
        (out / f"{target}-softmmu-config-devices.h").write_text(devices + "\n")
        _write_target(tree, out, target, base)
    _write_features(tree, sources, out)


def _write_target(tree: Tree, out: Path, target: str, base: str) -> None:
    # meson.build sets what a target's file leaves out.
    values = {"TARGET_BIG_ENDIAN": "0"} | _keys(tree.root / "configs" / "targets" / f"{target}-softmmu.mak")
    known = {"y": "1"}
    text = [
        f"#define {key} {known.get(value, value)}"
        for key, value in values.items()
        if value in known or value.isdigit()
    ]
    text += [
        f"#define TARGET_{target.upper()} 1",
        f"#define TARGET_{base.upper()} 1",
        f'#define TARGET_NAME "{target}"',
        f"#define QEMU_ARCH QEMU_ARCH_{base.upper()}",
        "#define CONFIG_SOFTMMU 1",
        "#define CONFIG_TCG 1",
        "#define CONFIG_KVM 1",
    ]
    (out / f"{target}-softmmu-config-target.h").write_text("\n".join(text) + "\n")


def _write_features(tree: Tree, sources: Sequence[str], out: Path) -> None:
    """target/s390x/gen-features.h with the names that the boards use, and no CPU feature in any list."""
    text = "".join((tree.root / name).read_text(errors="replace") for name in sources if name.endswith(".c"))
    groups = sorted({"S390_FEAT_GROUP_UNKNOWN", *_FEATURE_GROUP.findall(text)})
    lines = ["#pragma once", f"typedef enum {{ {', '.join(groups)} }} S390FeatGroup;"]
    lines += [f"#define {name} 0" for name in sorted(set(_FEATURE_LIST.findall(text)))]
    header = out / "target" / "s390x" / "gen-features.h"
    header.parent.mkdir(parents=True)
    header.write_text("\n".join(lines) + "\n")


def _keys(file: Path) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in file.read_text().splitlines() if "=" in line and line[0] != "#")
    return {key.strip(): value.strip() for key, value in pairs}
