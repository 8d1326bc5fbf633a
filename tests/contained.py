"""The next Debian's QEMU in a root of its own, as a container would run it: other libraries, other mounts.

The packages are unpacked into the cache; nothing of them is installed. Whoever calls the program gets
what looks like `qemu-system-x86_64`: a user and a mount namespace, a new root, and QEMU in it.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from qtrace.distribution.identity import distribution

__all__ = ["NEXT", "PROGRAM", "make_root"]

NEXT = "trixie"  # as in tests/conftest.py, whose index is its source's
PROGRAM = "qemu-system-x86_64"
# QEMU, its firmware, and the libraries that the loader wants for it.
_PACKAGES = (
    *("qemu-system-x86", "qemu-system-data", "seabios", "libc6", "libglib2.0-0t64", "libslirp0"),
    *("libaio1t64", "libatomic1", "libblkid1", "libbpf1", "libcap2", "libcapstone5", "libdaxctl1"),
    *("libelf1t64", "libfdt1", "libffi8", "libfuse3-4", "libgmp10", "libgnutls30t64", "libhogweed6t64"),
    *("libibverbs1", "libidn2-0", "libjpeg62-turbo", "libkmod2", "libmount1", "libndctl6", "libnettle8t64"),
    *("libnl-3-200", "libnl-route-3-200", "libnuma1", "libp11-kit0", "libpcre2-8-0", "libpixman-1-0"),
    *("libpmem1", "libpng16-16t64", "librdmacm1t64", "libsasl2-2", "libseccomp2", "libselinux1"),
    *("libssl3t64", "libtasn1-6", "libudev1", "libunistring5", "liburing2", "libuuid1", "libvdeplug2t64"),
    *("libzstd1", "zlib1g"),
)
_LEFT_OUT = shutil.ignore_patterns("doc", "man", "locale", "info", "lintian")
# The new root stands where nothing stands outside, and the program has the path of the installed one.
_ENTER = """#!/bin/sh
exec unshare --user --map-root-user --mount sh -c '
    set -e
    mount --rbind "$0" /mnt
    for name in proc dev tmp; do mount --rbind /$name /mnt/$name; done
    cd /mnt
    pivot_root . old
    exec /usr/bin/{program} "$@"
' {root} "$@"
"""


def make_root(folder: Path) -> Path:
    """A new root in `folder`, which anybody may enter; the folder with the program to call.

    Raises MissingPrerequisite.
    """
    root = folder / "root"
    for name in ("usr/lib", "usr/lib64", "proc", "dev", "tmp", "old"):
        (root / name).mkdir(parents=True)
    for name in ("lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in _PACKAGES:
        package = distribution().fetch_package(name, suite=NEXT)
        for part, target in (("usr", "usr"), ("lib", "usr/lib"), ("lib64", "usr/lib64")):
            if (package / part).is_dir():
                shutil.copytree(
                    *(package / part, root / target),
                    symlinks=True,
                    dirs_exist_ok=True,
                    ignore=_LEFT_OUT,
                    copy_function=_link,
                )
    programs = folder / "bin"
    programs.mkdir()
    caller = programs / PROGRAM
    caller.write_text(_ENTER.format(program=PROGRAM, root=root))
    for place in (folder, root, programs, caller):
        place.chmod(place.stat().st_mode | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    caller.chmod(0o755)
    return programs


def _link(source: str, target: str) -> str:
    """The cache may be on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
