"""What a build would generate, made without one: headers from the tree's own generators, and flags.

The tree is only read; everything made goes to a folder in the cache, one a tree. The configuration
header is synthesised with every networking feature on, so that no back end is left out because this
machine lacks its library.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from qtrace.cache import atomic_dir, cache_dir, locked
from qtrace.debian import fetch_package
from qtrace.errors import MissingPrerequisite, QtraceError, SourceError
from qtrace.progress import Progress
from qtrace.source.tree import Tree

__all__ = ["Prepared", "glib_flags", "prepare", "resource_dir"]

# Raised whenever what is generated here changes.
_GENERATION = 3
# (target, its folder in target/): code that only one target can compile is tried with each in turn.
_TARGETS = (("x86_64", "i386"), ("ppc64", "ppc"))
_TARGET, _BASE = _TARGETS[0]

# Features and facts of a Linux host that configure would find. Names a tree does not know do no harm.
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
# Headers of libraries that back ends use: unpacked in the cache, not installed.
_LIBRARIES = ("libvdeplug-dev", "libfdt-dev", "libxen-dev", "libxdp-dev", "libbpf-dev")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Compiler arguments: `common` for code shared by all targets, `specific` for one target's, by target.

    `missing` names what could not be generated or fetched, and so what is less certain.
    """

    generated: Path
    common: tuple[str, ...]
    specific: dict[str, tuple[str, ...]]
    missing: tuple[str, ...]


def prepare(tree: Tree, progress: Progress) -> Prepared:
    """Generate what is not there yet and work out the flags. Raises SourceError, MissingPrerequisite."""
    target = cache_dir("generated") / f"{tree.version}-{tree.key}-{_GENERATION}"
    with locked(f"generated-{tree.key}"):
        if not target.exists():
            progress.step("generating headers with the tree's own generators")
            with atomic_dir(target) as work:
                _generate(tree, work)
    libraries, missing = _libraries(progress)
    resource = resource_dir()
    common = [
        *("-std=gnu11", "-m64", "-mcx16", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-D_LARGEFILE_SOURCE"),
        *("-w", "-Wno-implicit-function-declaration", "-Wno-int-conversion", "-ferror-limit=0"),
        *("-resource-dir", str(resource)),
        *("-isystem", str(target / "linux-headers"), "-isystem", str(tree.root / "linux-headers")),
        *("-iquote", str(target), "-iquote", str(tree.root), "-iquote", str(tree.root / "include")),
        *("-iquote", str(tree.root / "tcg" / _BASE)),
        *(
            word
            for folder in (f"host/include/{_TARGET}", "host/include/generic")
            if (tree.root / folder).is_dir()
            for word in ("-iquote", str(tree.root / folder))
        ),
        *glib_flags(),
        *(word for folder in libraries for word in ("-isystem", str(folder))),
    ]
    specific = {
        name: (
            *common,
            *("-DNEED_CPU_H", "-DCOMPILING_PER_TARGET"),
            f'-DCONFIG_TARGET="{name}-softmmu-config-target.h"',
            f'-DCONFIG_DEVICES="{name}-softmmu-config-devices.h"',
            *("-iquote", str(tree.root / "target" / base)),
        )
        for name, base in _TARGETS
    }
    return Prepared(target, tuple(common), specific, tuple(missing))


def _generate(tree: Tree, out: Path) -> None:
    jobs: list[tuple[list[str], Path | None]] = []
    (out / "qapi").mkdir()
    scripts = tree.root / "scripts"
    jobs.append(
        (
            [
                *(str(scripts / "qapi-gen.py"), "-o", str(out / "qapi"), "-b"),
                str(tree.root / "qapi" / "qapi-schema.json"),
            ],
            None,
        )
    )
    (out / "trace").mkdir()
    for events in sorted(tree.root.rglob("trace-events")):
        folder = events.parent.relative_to(tree.root)
        if any(part.startswith(".") for part in folder.parts):
            continue  # a packager's bookkeeping
        group = "root" if str(folder) == "." else re.sub(r"\W", "_", str(folder))
        trace = out / "trace" / f"trace-{group}.h"
        argv = [str(scripts / "tracetool.py"), "--backend=log", f"--group={group}", "--format=h"]
        jobs.append(([*argv, str(events), str(trace)], None))
    for table, name in (
        ("qemu-options.hx", "qemu-options.def"),
        ("hmp-commands.hx", "hmp-commands.h"),
        ("hmp-commands-info.hx", "hmp-commands-info.h"),
    ):
        jobs.append(([str(scripts / "hxtool"), "-h", str(tree.root / table)], out / name))
    with ThreadPoolExecutor(2) as pool:
        for result in [pool.submit(_run_generator, argv, to) for argv, to in jobs]:
            result.result()
    # net/trace.h of the tree includes "trace/trace-net.h"; some groups are included from the top.
    _write_config(tree, out)


def _run_generator(argv: Sequence[str], into: Path | None) -> None:
    hxtool = argv[0].endswith("hxtool")
    command = ["sh", *argv] if hxtool else [sys.executable, "-B", *argv]
    # hxtool reads its file from stdin in some releases, by name in others.
    with Path(argv[-1] if hxtool else "/dev/null").open("rb") as stdin:
        said = subprocess.run(command, stdin=stdin, capture_output=True)
    if said.returncode != 0:
        tail = said.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise SourceError(f"{argv[0]} failed: {' '.join(tail)}", hint="is the tree complete and unchanged?")
    if into is not None:
        into.write_bytes(said.stdout)


def _write_config(tree: Tree, out: Path) -> None:
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
    (out / "linux-headers").mkdir()
    (out / "linux-headers" / "asm").symlink_to(tree.root / "linux-headers" / "asm-x86")
    # Every device that any Kconfig file of the tree declares: a device left out of a build is still code.
    symbols = set()
    for kconfig in (tree.root / "hw").rglob("Kconfig"):
        symbols |= set(re.findall(r"^\s*config\s+(\w+)", kconfig.read_text(errors="replace"), re.MULTILINE))
    devices = "\n".join(f"#define CONFIG_{name} 1" for name in sorted(symbols))
    for target, base in _TARGETS:
        (out / f"{target}-softmmu-config-devices.h").write_text(devices + "\n")
        _write_target(tree, out, target, base)


def _write_target(tree: Tree, out: Path, target: str, base: str) -> None:
    values = _keys(tree.root / "configs" / "targets" / f"{target}-softmmu.mak")
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


def _keys(file: Path) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in file.read_text().splitlines() if "=" in line and line[0] != "#")
    return {key.strip(): value.strip() for key, value in pairs}


def glib_flags() -> list[str]:
    """Where the headers of GLib and the installed libslirp are. Raises MissingPrerequisite."""
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
            hint="run: apt-get install pkg-config libglib2.0-dev libslirp-dev (or 'make setup')",
        )
    return shlex.split(said.stdout)


def _libraries(progress: Progress) -> tuple[list[Path], list[str]]:
    folders, missing = [], []
    for name in _LIBRARIES:
        try:
            folders.append(fetch_package(name, progress) / "usr" / "include")
        except QtraceError as exc:
            missing.append(f"headers of {name}: {exc}")
    return folders, missing


def resource_dir() -> Path:
    """clang's own headers, which PyPI's libclang comes without."""
    found = sorted(Path("/usr/lib").glob("llvm-*/lib/clang/*/include/stddef.h"))
    if not found:
        raise MissingPrerequisite(
            "clang's built-in headers are missing",
            hint="run: apt-get install libclang-common-14-dev (or 'make setup')",
        )
    return found[-1].parent.parent
