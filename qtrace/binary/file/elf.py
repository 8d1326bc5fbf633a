"""An ELF file of this machine: segments, symbols, relative relocations, build id.

No part of the file is trusted: any error that pyelftools raises on it becomes a BinaryError.
"""

from __future__ import annotations

import contextlib
import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from elftools.common.exceptions import DWARFError, ELFError, ELFParseError
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from qtrace.binary.file.buildid import build_id
from qtrace.errors import BinaryError

__all__ = ["Elf", "Segment"]

_X86_64_RELATIVE, _X86_64_64 = 8, 1
_IMPORTS = (6, 7)  # R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT
_SYMBOL, _OBJECT, _FUNCTION, _SOURCE = "<IBBHQQ", 1, 2, 4  # Elf64_Sym; STT_OBJECT, STT_FUNC, STT_FILE
_LARGEST = 2**30
_ENTRY = 8  # bytes of an entry of a jump table
_LONGEST = 1024  # longest string that is read, in bytes
_BROKEN = (ELFError, ELFParseError, DWARFError, ValueError, KeyError, IndexError, OverflowError)
_BROKEN_MORE = (
    OSError,
    AttributeError,
    TypeError,
    UnicodeError,
    AssertionError,
    MemoryError,
    EOFError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A loaded piece of the file: virtual addresses, file offset, and whether it is code."""

    address: int
    offset: int
    size: int  # bytes in the file
    executable: bool
    memory: int = 0  # bytes in memory: those beyond `size` are zero


class Elf:
    """The parts of an ELF file that qtrace reads. Raises BinaryError for a file that is not valid ELF."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.stat().st_size > _LARGEST:
                raise BinaryError(f"{path} is too large to be a QEMU")
            self._data = path.read_bytes()
        except OSError as exc:
            raise BinaryError(f"cannot read {path}: {exc.strerror}") from exc
        if self._data[:4] != b"\x7fELF":
            raise BinaryError(f"{path} is not an ELF file")
        with self._careful(), path.open("rb") as handle:
            elf = ELFFile(handle)
            if elf["e_machine"] != "EM_X86_64" or elf.elfclass != 64:
                raise BinaryError(f"{path} is not for x86-64")
            self.segments = tuple(
                Segment(
                    part["p_vaddr"],
                    part["p_offset"],
                    part["p_filesz"],
                    bool(part["p_flags"] & 1),
                    part["p_memsz"],
                )
                for part in elf.iter_segments("PT_LOAD")
            )
            self.eh_frame_hdr = next((part["p_vaddr"] for part in elf.iter_segments("PT_GNU_EH_FRAME")), 0)
            self.build_id = build_id(path)
            link = elf.get_section_by_name(".gnu_debuglink")
            self.debug_link = _name(link.data(), 0) if link else ""
            exports, self.objects = _defined(elf, ".dynsym")
        self.exports = {name: self.body_at(address) for name, address in exports.items()}

    def offset_of(self, address: int) -> int:
        """The file offset of a virtual address. Raises BinaryError if it is not in the file."""
        for part in self.segments:
            if part.address <= address < part.address + part.size:
                return address - part.address + part.offset
        raise BinaryError(f"{self.path} has nothing at address {address:#x}")

    def is_code(self, address: int) -> bool:
        """Whether the address lies in an executable segment."""
        return any(
            part.executable and part.address <= address < part.address + part.size for part in self.segments
        )

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes at a virtual address; fewer at the segment's end, none outside the file."""
        for part in self.segments:
            if part.address <= address < part.address + part.size:
                begin = address - part.address + part.offset
                return self._data[begin : begin + min(size, part.address + part.size - address)]
        return b""

    def body_at(self, address: int) -> int:
        """The function behind an entry of the jump table that clang's control-flow integrity makes: pointers
        to functions, and exported names, lead to entries. Any other address is its own."""
        if address % _ENTRY or not self.is_code(address):
            return address
        around = (
            self.read(address - _ENTRY, _ENTRY),
            self.read(address, _ENTRY),
            self.read(address + _ENTRY, _ENTRY),
        )
        if not _is_entry(around[1]) or not (_is_entry(around[0]) or _is_entry(around[2])):
            return address  # one alone may be a function that only calls another
        return address + 5 + int.from_bytes(around[1][1:5], "little", signed=True)

    @functools.cached_property
    def pointers(self) -> dict[int, int]:
        """Address -> pointer stored there after loading (from relative relocations, and from relocations
        against a symbol that this file defines)."""
        found: dict[int, int] = {}
        with self._careful(), self.path.open("rb") as handle:
            elf = ELFFile(handle)
            for section in elf.iter_sections():
                if not isinstance(section, RelocationSection) or not section.is_RELA():
                    continue
                symbols = elf.get_section(section["sh_link"])
                # Read in one numpy call: pyelftools takes seconds for a hundred thousand relocations.
                for place, info, addend in struct.iter_unpack("<QQq", section.data()):
                    kind = info & 0xFFFFFFFF
                    if kind == _X86_64_RELATIVE:
                        found[place] = addend
                    elif kind == _X86_64_64 and isinstance(symbols, SymbolTableSection):
                        value = symbols.get_symbol(info >> 32)["st_value"]
                        found[place] = value + addend if value else 0
        return {place: self.body_at(target) for place, target in found.items()}

    @functools.cached_property
    def imports(self) -> dict[int, str]:
        """Address -> the imported function whose address the loader stores there."""
        found: dict[int, str] = {}
        with self._careful(), self.path.open("rb") as handle:
            elf = ELFFile(handle)
            names = _names(elf, ".dynsym")
            for section in elf.iter_sections():
                if isinstance(section, RelocationSection) and section.is_RELA():
                    for place, info, _ in struct.iter_unpack("<QQq", section.data()):
                        if info & 0xFFFFFFFF in _IMPORTS and info >> 32 < len(names):
                            found[place] = names[info >> 32]
        return found

    def symtab(self) -> list[tuple[str, str, int]]:
        """(name, base name of the source file of a static function, address) of the functions of .symtab."""
        found: list[tuple[str, str, int]] = []
        with self._careful(), self.path.open("rb") as handle:
            section = (elf := ELFFile(handle)).get_section_by_name(".symtab")
            if not isinstance(section, SymbolTableSection):
                return []
            texts, entries = elf.get_section(section["sh_link"]).data(), section.data()
            source = ""
            for at, info, _, index, value, _ in struct.iter_unpack(
                _SYMBOL, entries[: len(entries) // 24 * 24]
            ):
                if info & 15 == _SOURCE:
                    source = Path(_name(texts, at)).name
                elif info & 15 == _FUNCTION and value and index:
                    found.append((_name(texts, at), "" if info >> 4 else source, value))
        return found

    def text_at(self, address: int) -> str | None:
        """The zero-terminated string at an address of read-only data; None if there is none."""
        data = self.read(address, _LONGEST)
        end = data.find(b"\0")
        return data[:end].decode("latin-1") if end >= 0 else None

    @functools.cached_property
    def pointer_places(self) -> npt.NDArray[np.int64]:
        """Addresses that hold a pointer, in order."""
        return np.array(sorted(self.pointers), dtype=np.int64)

    @functools.cached_property
    def code_pointers(self) -> npt.NDArray[np.int64]:
        """Addresses that hold a pointer to code, in order."""
        places = (address for address, target in self.pointers.items() if self.is_code(target))
        return np.array(sorted(places), dtype=np.int64)

    @contextlib.contextmanager
    def _careful(self) -> Iterator[None]:
        try:
            yield
        except BinaryError:
            raise
        except (*_BROKEN, *_BROKEN_MORE) as exc:
            raise BinaryError(f"{self.path} is damaged: {type(exc).__name__}: {exc}") from exc


def _is_entry(code: bytes) -> bool:
    """jmp with a distance of four bytes, and three of int3."""
    return len(code) == _ENTRY and code[0] == 0xE9 and code[5:] == b"\xcc\xcc\xcc"


def _names(elf: ELFFile, name: str) -> list[str]:
    """The names of a symbol table's entries, in order."""
    section = elf.get_section_by_name(name)
    if not isinstance(section, SymbolTableSection):
        return []
    texts = elf.get_section(section["sh_link"]).data()
    entries = section.data()
    return [_name(texts, at) for at, *_ in struct.iter_unpack(_SYMBOL, entries[: len(entries) // 24 * 24])]


def _name(texts: bytes, at: int) -> str:
    return texts[at : texts.index(b"\0", at)].decode("utf-8", "replace")


def _defined(elf: ELFFile, name: str) -> tuple[dict[str, int], dict[str, int]]:
    """Defined functions and objects of a symbol table; a name with two addresses is left out.

    Read in one numpy call: pyelftools takes seconds for tens of thousands of symbols.
    """
    seen: tuple[dict[str, set[int]], dict[str, set[int]]] = {}, {}
    section = elf.get_section_by_name(name)
    if isinstance(section, SymbolTableSection):
        texts = elf.get_section(section["sh_link"]).data()
        entries = section.data()
        for at, info, _, index, value, _ in struct.iter_unpack(_SYMBOL, entries[: len(entries) // 24 * 24]):
            kind = info & 15
            if value and index and kind in (_OBJECT, _FUNCTION):
                seen[kind == _OBJECT].setdefault(_name(texts, at), set()).add(value)
    functions, objects = (
        {label: next(iter(places)) for label, places in table.items() if len(places) == 1} for table in seen
    )
    return functions, objects
