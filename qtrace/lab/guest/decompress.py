"""Decompresses the parts of a kernel package: its image (a bzImage) and its modules."""

from __future__ import annotations

import lzma
import struct
import zlib
from pathlib import Path

__all__ = ["kernel_in", "module_in"]

# The first bytes of each compression format of a bzImage, and of compressed modules.
_XZ, _GZIP, _ZSTD, _LZMA = b"\xfd7zXZ\x00", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x5d\x00\x00"


def kernel_in(image: bytes) -> bytes | None:
    """The ELF kernel in a bzImage, None if its compression is not supported.

    The header is in the kernel's Documentation/arch/x86/boot.rst. The last four bytes of the payload are the
    kernel's size; with gzip they are part of gzip's own trailer.
    """
    try:
        start = ((image[0x1F1] or 4) + 1) * 512
        offset, length = struct.unpack_from("<II", image, 0x248)
        packed = image[start + offset : start + offset + length]
        (size,) = struct.unpack("<I", packed[-4:])
    except (struct.error, IndexError):
        return None
    elf = _unpacked(packed, size)
    return elf if elf is not None and elf.startswith(b"\x7fELF") else None


def module_in(file: Path) -> bytes:
    """A module for insmod: `x.ko.xz`, `x.ko.zst` and `x.ko.gz` are decompressed."""
    data = file.read_bytes()
    if data.startswith(b"\x7fELF"):
        return data
    return _unpacked(data, 0) or data


def _unpacked(packed: bytes, size: int) -> bytes | None:
    """The decompressed data; `size` is their length, if it is known and not in the data."""
    try:
        if packed.startswith(_XZ):
            return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed)
        if packed.startswith(_LZMA):
            return lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(packed)
        if packed.startswith(_GZIP):
            return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed)
        if packed.startswith(_ZSTD):
            return _of_zstd(packed, size)
    except (lzma.LZMAError, zlib.error, OSError):
        return None
    return None


def _of_zstd(packed: bytes, size: int) -> bytes:
    """Decompress zstd. Python includes it since 3.14; pyarrow provides it for every Python."""
    import pyarrow

    if size:
        return bytes(pyarrow.decompress(packed[:-4], decompressed_size=size, codec="zstd", asbytes=True))
    with pyarrow.CompressedInputStream(pyarrow.BufferReader(packed), "zstd") as stream:
        return bytes(stream.read())
