"""The build id of an ELF file: the name by which what is known about a binary is kept and found again.

A file of its own because it is asked first, often, and needs neither the symbols nor numpy.
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
    except Exception as exc:  # whatever pyelftools stumbles over in a damaged file
        raise BinaryError(f"{path} is not an ELF file that can be read: {exc}") from exc
