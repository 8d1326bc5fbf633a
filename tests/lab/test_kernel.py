"""A kernel package is read wherever it keeps its modules, and however image and modules are packed."""

from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest

from qtrace.distribution.base import KernelPackage
from qtrace.errors import LabError
from qtrace.lab.guest.decompress import kernel_in, module_in
from qtrace.lab.guest.guest_image import module_files
from qtrace.lab.guest.kernel import ensure_kernel, open_kernel

# Some ELF file stands for the kernel in an image: what is packed is not looked into.
ELF = Path(sys.executable).resolve().read_bytes()[:200_000]
RELEASE = "6.12.1+test-amd64"


def sized(packed: bytes) -> bytes:
    """The kernel's build appends the unpacked size (scripts/Makefile.lib, size_append)."""
    return packed + struct.pack("<I", len(ELF))


def gzipped(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return packer.compress(data) + packer.flush()


PACKED: dict[str, Callable[[], bytes]] = {
    "xz": lambda: sized(lzma.compress(ELF, lzma.FORMAT_XZ)),
    "lzma": lambda: sized(lzma.compress(ELF, lzma.FORMAT_ALONE)),
    "zstd": lambda: sized(pyarrow.compress(ELF, codec="zstd", asbytes=True)),
    "gzip": lambda: gzipped(ELF),
}


def bzimage(payload: bytes) -> bytes:
    """The fields of the boot protocol's header that say where the payload is, and the payload."""
    sectors, offset = 2, 96
    image = bytearray((sectors + 1) * 512 + offset)
    image[0x1F1] = sectors
    struct.pack_into("<II", image, 0x248, offset, len(payload))
    return bytes(image) + payload + b"what follows it"


@pytest.mark.parametrize("how", PACKED)
def test_the_kernel_in_an_image(how: str) -> None:
    assert kernel_in(bzimage(PACKED[how]())) == ELF


def test_an_image_that_is_packed_otherwise_is_said() -> None:
    assert kernel_in(bzimage(b"\x02\x21\x4c\x18" + bytes(100))) is None  # lz4
    assert kernel_in(b"short") is None
    assert kernel_in(bzimage(PACKED["zstd"]()[:1000])) is None


def test_modules_are_unpacked(tmp_path: Path) -> None:
    for name, packed in {
        "a.ko": ELF,
        "a.ko.xz": lzma.compress(ELF),
        "a.ko.gz": gzipped(ELF),
        "a.ko.zst": pyarrow.compress(ELF, codec="zstd", asbytes=True),
    }.items():
        (tmp_path / name).write_bytes(packed)
        assert module_in(tmp_path / name) == ELF, name


def build_package(folder: Path, where: str) -> KernelPackage:
    """A Debian package of a kernel with the modules of virtio-net under `where`, packed with xz as Debian
    13's are, and an image packed with zstd; built and unpacked with Debian's tools."""
    real = ensure_kernel()
    home = folder / "package"
    modules = home / where / RELEASE
    for module in real.closure(["virtio_net"]):
        target = modules / "kernel" / f"{module.name.split('.ko')[0]}.ko.xz"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(lzma.compress(module_in(module)))
    for name in ("modules.builtin", "modules.order"):
        shutil.copy(real.modules / name, modules / name)
    (home / "boot").mkdir()
    (home / f"boot/vmlinuz-{RELEASE}").write_bytes(bzimage(PACKED["zstd"]()))
    (home / "DEBIAN").mkdir()
    (home / "DEBIAN/control").write_text(
        f"Package: linux-image-{RELEASE.replace('+', '.')}\nVersion: 1\nArchitecture: all\n"
        "Maintainer: none <none@localhost>\nDescription: for a test\n"
    )
    archive, unpacked = folder / "kernel.deb", folder / "unpacked"
    subprocess.run(["dpkg-deb", "-b", home, archive], check=True, capture_output=True)
    subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True)
    return KernelPackage(unpacked, RELEASE)


@pytest.mark.needs("dpkg-deb", "depmod", "qemu-system-x86_64")
@pytest.mark.parametrize("where", ["lib/modules", "usr/lib/modules"])
def test_a_kernel_package_with_its_modules_there(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = build_package(tmp_path, where)
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path / "cache"))
    kernel = open_kernel(package)
    assert kernel.image.read_bytes() == ELF
    assert kernel.release == RELEASE and kernel.modules == package.home / where / RELEASE
    names = [path.name for path in kernel.closure(["virtio_net"])]
    assert names[-1] == "virtio_net.ko.xz" and "net_failover.ko.xz" in names
    files = module_files(kernel, ["virtio_net"])
    content, _ = files["modules/virtio_net.ko"]
    assert isinstance(content, bytes) and content.startswith(b"\x7fELF")
    order, _ = files["modules/order"]
    assert isinstance(order, bytes) and order.decode().split()[-1] == "virtio_net.ko"


@pytest.mark.needs("dpkg-deb", "depmod", "qemu-system-x86_64")
def test_a_kernel_package_without_modules_is_named(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / f"boot/vmlinuz-{RELEASE}").touch()
    with pytest.raises(LabError, match="no modules"):
        open_kernel(KernelPackage(tmp_path, RELEASE))
    (tmp_path / "usr/lib/modules" / RELEASE).mkdir(parents=True)
    (tmp_path / f"boot/vmlinuz-{RELEASE}").unlink()
    with pytest.raises(LabError, match="no image"):
        open_kernel(KernelPackage(tmp_path, RELEASE))
    assert not any((tmp_path / "boot").iterdir())
