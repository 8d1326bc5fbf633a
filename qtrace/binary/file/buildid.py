"""The build id of an ELF file, under which the cache keeps all results about a binary.

The module is separate because callers ask for the build id first and often, without symbols or numpy.
"""

from __future__ import annotations

from pathlib import Path

from elftools.elf.elffile import ELFFile

from qtrace.errors import BinaryError

__all__ = ["build_id"]


def build_id(path: Path) -> str:
    """The build id in hexadecimal; empty if the file has none. Raises BinaryError."""
    try:
        with path.open("rb") as handle:
            for segment in ELFFile(handle).iter_segments("PT_NOTE"):
                for note in segment.iter_notes():
                    if note["n_type"] == "NT_GNU_BUILD_ID":
                        return str(note["n_desc"])
            return ""
    except OSError as exc:
        raise BinaryError(f"cannot read {path}: {exc.strerror}") from exc
    except Exception as exc:  # any error that pyelftools raises on a damaged file
        raise BinaryError(f"{path} is not an ELF file that can be read: {exc}") from exc
