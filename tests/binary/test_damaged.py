"""Files that are no QEMU, or no longer one: a message, never a crash, never an endless loop."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import struct
from dataclasses import asdict
from pathlib import Path

import pytest

from qtrace.binary.code.scan import Scan
from qtrace.binary.file.debugfile import SymbolTable, debug_file
from qtrace.binary.file.elf import Elf
from qtrace.binary.file.version import version_of
from qtrace.binary.symbols.resolver import Resolver
from qtrace.binary.symbols.symbol_cache import KnownSymbols
from qtrace.errors import BinaryError
from qtrace.store.index import Index

QEMU = Path("/usr/bin/qemu-system-x86_64")
SMALL = Path("/usr/bin/env")


def read_all(path: Path) -> None:
    """Everything that is read of a binary before it is compared with a source."""
    elf = Elf(path)
    assert elf.symtab() is not None and elf.imports is not None
    SymbolTable(elf)
    debug_file(path, elf, None)
    Scan(elf)
    version_of(elf)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an ELF file"),
        (b"#!/bin/sh\nexec qemu\n", "not an ELF file"),
        (b"\x7fELF", "damaged|cannot be read"),
        (b"\x7fELF\x02\x01\x01" + bytes(57), "damaged|not for x86-64|cannot be read"),
    ],
)
def test_what_is_no_elf_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(BinaryError, match=message):
        read_all(file)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BinaryError, match="cannot read"):
            Elf(path)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    data = bytearray(SMALL.read_bytes())
    struct.pack_into("<H", data, 18, 183)  # EM_AARCH64
    file = tmp_path / "file"
    file.write_bytes(data)
    with pytest.raises(BinaryError, match="not for x86-64"):
        Elf(file)


def test_another_program_is_refused() -> None:
    with pytest.raises(BinaryError, match="not QEMU"):
        version_of(Elf(SMALL))


@pytest.mark.parametrize("part", [0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, part: float) -> None:
    data = SMALL.read_bytes()
    file = tmp_path / "file"
    file.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(BinaryError):
        read_all(file)


def test_a_damaged_file_is_refused_or_read(tmp_path: Path) -> None:
    """Bytes are changed where it hurts: in the headers, and at random."""
    whole = SMALL.read_bytes()
    sections = struct.unpack_from("<Q", whole, 40)[0]
    chance = random.Random(7)
    file = tmp_path / "file"
    for number in range(300):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 3, 30))):
            where = chance.choice(
                (chance.randrange(64), chance.randrange(64, 900), chance.randrange(len(data)))
            )
            if number % 3 == 0:
                where = chance.randrange(sections, len(data))
            data[where] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        file.write_bytes(data)
        try:
            read_all(file)
        except BinaryError as exc:
            assert str(file) in str(exc)


@pytest.mark.needs("qemu-system-x86_64")
def test_an_index_of_another_version_is_refused(tmp_path: Path, index: Index) -> None:
    path = tmp_path / "index.sqlite"
    shutil.copy(index.path, path)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = '9.9.9' WHERE key = 'qemu'")
    other = Index(path)
    with pytest.raises(BinaryError, match=r"is QEMU .*, the source index is of 9\.9\.9") as refused:
        Resolver(QEMU, other)
    assert "--force" in refused.value.hint
    assert Resolver(QEMU, other, force=True).locate("tap_receive_iov", "net/tap.c")


@pytest.mark.needs("qemu-system-x86_64")
def test_an_index_of_another_package_is_refused(tmp_path: Path, index: Index) -> None:
    path = tmp_path / "index.sqlite"
    shutil.copy(index.path, path)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = '/src/qemu_1_7.2+dfsg-1' WHERE key = 'root'")
    with pytest.raises(BinaryError, match="of package"):
        Resolver(QEMU, Index(path))


def test_symbols_of_another_binary_are_refused() -> None:
    other = Path("/usr/bin/ls")
    elf = Elf(SMALL)
    with pytest.raises(BinaryError, match="of another binary"):
        debug_file(SMALL, elf, other)
    assert debug_file(SMALL, elf, other, force=True) == other


def test_a_damaged_cache_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path))
    library = libc()
    known = KnownSymbols(library, None)
    found = known.locate("getpid", "")
    assert found and found.address
    known.save()
    (kept,) = (tmp_path / "symbols").glob("*.json")
    sound = json.loads(kept.read_text())
    wrong = asdict(found) | {"address": found.address + 1}
    lie = sound | {"answers": {":getpid": wrong}}
    kept.write_text(json.dumps(lie))
    believed = KnownSymbols(library, None).locate("getpid", "")
    assert believed and believed.address == found.address + 1  # so what follows is told by the damage
    damaged = [
        "",
        "{",
        "[]",
        json.dumps(lie)[:-1],
        json.dumps(lie | {"format": sound["format"] - 1}),
        json.dumps(lie | {"all": 7}),
        json.dumps(lie | {"answers": {":getpid": wrong, "a": 1}}),
        json.dumps(lie | {"answers": {":getpid": wrong | {"more": 1}}}),
        json.dumps({"answers": lie["answers"]}),
    ]
    for text in damaged:
        kept.write_text(text)
        assert KnownSymbols(library, None).locate("getpid", "") == found, text


def libc() -> Path:
    """The C library of this process."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return next(Path(line.split()[-1]) for line in maps if "/libc.so" in line or "/libc-" in line)
