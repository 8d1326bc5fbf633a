"""The guest's root: an initramfs of busybox, iperf3, sockperf and the NIC modules, built once.

It is cached under the hash of its contents, so a new kernel or a new iperf3 gives a new one. It is not
compressed: under TCG, decompressing takes longer than reading.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from qtrace.cache import cache_dir, locked, need_space
from qtrace.distribution.identity import distribution
from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.guest.decompress import module_in
from qtrace.lab.guest.kernel import Kernel
from qtrace.progress import SILENT, Progress

__all__ = [
    "CLIENTS",
    "NIC_MODULES",
    "Files",
    "busybox_files",
    "cpio",
    "ensure_image",
    "module_files",
    "shared_libraries",
    "store_image",
    "which",
]

# Path in the image -> (content or the file that contains it, mode).
Files = dict[str, tuple[bytes | Path, int]]

# The programs in a guest unless others are asked for; their libraries are added automatically.
CLIENTS = ("iperf3", "sockperf")
# Without the i82551: its driver needs firmware that Debian's main archive does not have.
_E100 = ("50", "57a", "57b", "57c", "58a", "58b", "59a", "59b", "59c", "59er", "62")
# Every NIC that QEMU has on a PC and Debian's kernel supports, with its driver.
NIC_MODULES: dict[str, list[str]] = {
    "virtio-net-pci": ["virtio_net"],
    "virtio-net-pci-transitional": ["virtio_net"],
    "virtio-net-pci-non-transitional": ["virtio_net"],
    "e1000": ["e1000"],
    "e1000-82544gc": ["e1000"],
    "e1000-82545em": ["e1000"],
    "e1000e": ["e1000e"],
    "igb": ["igb"],
    "rtl8139": ["8139cp", "8139too"],
    "pcnet": ["pcnet32"],
    "vmxnet3": ["vmxnet3"],
    "ne2k_pci": ["ne2k_pci"],
    "tulip": ["tulip"],
    **{f"i825{number}": ["e100"] for number in _E100},
    "i82801": ["e100"],
    "usb-net": ["xhci_pci", "cdc_ether", "rndis_host"],
}
# virtio_console carries the agent's port; pktgen sends an exact number of frames.
_DRIVERS = ["virtio_net", "e1000", "e1000e", "8139cp", "8139too", "pcnet32", "vmxnet3"]  # in every image
_UNWINDER = "libgcc_s.so.1"
_MODULES = ["virtio_pci", "virtio_console", *_DRIVERS, "pktgen"]


def ensure_image(
    kernel: Kernel,
    progress: Progress = SILENT,
    nic: str = "",
    programs: Sequence[str] = CLIENTS,
    modules: Sequence[str] = (),
) -> Path:
    """The initramfs for guests that boot `kernel`, load `modules` and run `programs`; with further drivers if
    the NIC needs them."""
    more = [name for name in NIC_MODULES.get(nic, []) if name not in _DRIVERS] + [*modules]
    return store_image(f"guest-{nic}" if more else "guest", _guest_files(kernel, more, programs), progress)


def store_image(name: str, files: Files, progress: Progress = SILENT) -> Path:
    """The archive of `files`, from the cache if they are unchanged."""
    digest = hashlib.sha256()
    for path, (source, mode) in sorted(files.items()):
        content = source if isinstance(source, bytes) else _fingerprint(source)
        digest.update(f"{path}\0{mode:o}\0".encode() + content)
    target = cache_dir("images") / f"{name}-{digest.hexdigest()[:16]}.cpio"
    with locked("image"):
        if not target.exists():
            progress.step(f"building the {name}'s initramfs")
            need_space(target.parent, 200, f"the {name}'s initramfs")
            with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as out:
                try:
                    out.write(cpio(files))
                    Path(out.name).chmod(0o644)
                    Path(out.name).rename(target)
                except BaseException:
                    Path(out.name).unlink()
                    raise
    return target


def busybox_files(init: Traversable) -> Files:
    """busybox with all its applets, and `init` as the first process."""
    busybox = which("busybox")
    files: Files = {
        "init": (init.read_bytes(), 0o755),
        "bin/busybox": (busybox, 0o755),
    }
    said = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True)
    for applet in said.stdout.split():
        if applet != "busybox":
            files[f"bin/{applet}"] = (b"busybox", stat.S_IFLNK | 0o777)
    return files


def module_files(kernel: Kernel, names: list[str]) -> Files:
    """Modules, unpacked, with all modules that they need, and `modules/order`, the order of loading."""
    modules = kernel.closure(names)
    unpacked = {module.name.split(".ko")[0] + ".ko": module_in(module) for module in modules}
    files: Files = {f"modules/{name}": (content, 0o644) for name, content in unpacked.items()}
    files["modules/order"] = ("".join(f"{name}\n" for name in unpacked).encode(), 0o644)
    return files


def _guest_files(kernel: Kernel, more: list[str], programs: Sequence[str]) -> Files:
    files = busybox_files(resources.files("qtrace.lab.guest") / "init.sh") | module_files(
        kernel, [*_MODULES, *more]
    )
    # busybox's `ip` has no permanent neighbours, and its shell prefers its own applets: call /bin/ip by its
    # full path.
    for program in (*programs, "ip"):
        path = which(program)
        files[f"bin/{program}"] = (path, 0o755)
        for library in shared_libraries(path):
            files[str(library).lstrip("/")] = (library, 0o755)
    return files


def cpio(files: Files) -> bytes:
    """An archive in the kernel's `newc` format, folders included, in a fixed order.

    See the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    folders = {str(parent) for name in files for parent in Path(name).parents if str(parent) != "."}
    folders |= {"proc", "sys", "dev", "tmp"}
    entries: Files = dict.fromkeys(folders, (b"", stat.S_IFDIR | 493)) | files
    out = io.BytesIO()

    def add(name: str, mode: int, content: bytes) -> None:
        raw = name.encode() + b"\0"
        numbers = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(raw), 0)
        out.write(b"070701" + b"".join(b"%08X" % number for number in numbers) + raw)
        out.write(b"\0" * (-out.tell() % 4))
        out.write(content)
        out.write(b"\0" * (-out.tell() % 4))

    for name, (source, mode) in sorted(entries.items()):
        content = source if isinstance(source, bytes) else source.read_bytes()
        add(name, mode if stat.S_IFMT(mode) else stat.S_IFREG | mode, content)
    add("TRAILER!!!", 0, b"")
    return out.getvalue()


def _fingerprint(path: Path) -> bytes:
    info = path.stat()
    return f"{path}\0{info.st_size}\0{info.st_mtime_ns}".encode()


def which(program: str) -> Path:
    """The path of a program. Raises MissingPrerequisite, which names its package."""
    found = shutil.which(program)
    if not found:
        raise MissingPrerequisite(f"the program {program!r} is missing", hint=distribution().hint(program))
    return Path(found)


def shared_libraries(program: Path) -> list[Path]:
    """The shared libraries of an installed program, its loader included, as the loader finds them.

    With the one that glibc opens when a thread is cancelled: without it the program aborts.
    """
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if said.returncode != 0:
        raise LabError(f"ldd {program}: {(said.stderr or said.stdout).strip()}")
    words = (word for line in said.stdout.splitlines() for word in line.split())
    libraries = [Path(word) for word in words if word.startswith("/")]
    opened = [library.with_name(_UNWINDER) for library in libraries if library.name == "libc.so.6"]
    return list(dict.fromkeys([*libraries, *(library for library in opened if library.exists())]))
