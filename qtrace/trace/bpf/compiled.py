"""The eBPF programs as the kernel takes them, kept in the cache: clang takes seconds of CPU time for them.

bcc keeps no object, but gives each program's instructions, and what its maps are. From these a module is made
again: a text of the maps alone, which bcc compiles in a tenth of the time, and the instructions with the
descriptors of these new maps. They are of one text, one bcc and one build of the kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import mmap
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qtrace.cache import atomic_file, cache_dir
from qtrace.errors import MissingPrerequisite

__all__ = ["make_module", "typed_library"]

_FORMAT = 1
_KINDS = {1: "hash", 2: "array", 5: "percpu_hash", 6: "percpu_array", 27: "ringbuf"}  # enum bpf_map_type
_RING = 27
_MOST = 8  # files in the cache, of a fifth of a megabyte
# linux/bpf.h: a load of 64 bits takes two instructions; the source of this one is a map's descriptor.
_INSTRUCTION, _LOAD, _IS_MAP = 8, 0x18, 1
_WIDTHS = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    kind: int
    key_size: int
    leaf_size: int
    entries: int
    flags: int
    key: str  # as bcc describes its type
    leaf: str


@dataclass(frozen=True, slots=True)
class _Program:
    code: bytes  # with numbers of tables where descriptors belong

    def linked(self, descriptors: Mapping[int, int]) -> bytes:
        """With each number replaced by what `descriptors` has for it; raises KeyError."""
        code = bytearray(self.code)
        for at in range(0, len(code), _INSTRUCTION):
            if code[at] == _LOAD and code[at + 1] >> 4 == _IS_MAP:
                number = int.from_bytes(code[at + 4 : at + 8], "little")
                code[at + 4 : at + 8] = descriptors[number].to_bytes(4, "little")
        return bytes(code)


def make_module(text: str, headers: Path | None) -> tuple[Any, bool]:
    """A bcc module of the programs in `text`, and whether it came from the cache. Whatever bcc raises where
    they do not compile."""
    import bcc

    name = f"{_key(text, bcc.__version__, headers)}.kept"
    # Without a cache, or with what is damaged in it, they are compiled.
    with contextlib.suppress(MissingPrerequisite, OSError, ValueError, KeyError, TypeError, _Unusable):
        file = cache_dir("programs") / name
        # Whose programs root loads must not be a matter of who else can write to the cache.
        if file.stat().st_uid in (0, os.geteuid()):
            return _again(*_read(file)), True
    module = bcc.BPF(text=text.encode())
    with contextlib.suppress(MissingPrerequisite, OSError, _Unusable):
        _keep(module, cache_dir("programs") / name)
    return module, False


class _Unusable(Exception):
    """These programs cannot be kept, or not be made again."""


def _key(text: str, release: str, headers: Path | None) -> str:
    about = (_FORMAT, text, release, platform.release(), platform.version(), platform.machine(), str(headers))
    return hashlib.sha256(repr(about).encode()).hexdigest()[:32]


def _read(file: Path) -> tuple[list[_Table], dict[bytes, _Program]]:
    """Raises ValueError and others where the file is damaged."""
    digest, _, text = file.read_text().partition("\n")
    if digest != hashlib.sha256(text.encode()).hexdigest():
        raise ValueError(file)
    kept = json.loads(text)
    tables = [_Table(**table) for table in kept["tables"]]
    programs = {name.encode(): _Program(bytes.fromhex(code)) for name, code in kept["programs"].items()}
    return tables, programs


def typed_library() -> Any:
    """bcc's library, with the types of four functions that bcc itself does not call: without them a pointer
    is cut to 32 bits."""
    from bcc.libbcc import lib

    lib.bpf_num_tables.restype = ctypes.c_size_t
    lib.bpf_num_tables.argtypes = [ctypes.c_void_p]
    lib.bpf_table_name.restype = ctypes.c_char_p
    for name in ("bpf_table_name", "bpf_table_key_size_id", "bpf_table_leaf_size_id"):
        getattr(lib, name).argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return lib


def _keep(module: Any, file: Path) -> None:
    lib = typed_library()
    tables: list[_Table] = []
    numbers: dict[int, int] = {}
    for number in range(lib.bpf_num_tables(module.module)):
        name = lib.bpf_table_name(module.module, number)
        kind = lib.bpf_table_type_id(module.module, number)
        if kind not in _KINDS:
            raise _Unusable(name)
        numbers[int(lib.bpf_table_fd(module.module, name))] = number
        tables.append(
            _Table(
                name.decode(),
                kind,
                lib.bpf_table_key_size_id(module.module, number),
                lib.bpf_table_leaf_size_id(module.module, number),
                lib.bpf_table_max_entries_id(module.module, number),
                lib.bpf_table_flags_id(module.module, number),
                (lib.bpf_table_key_desc(module.module, name) or b"").decode(),
                (lib.bpf_table_leaf_desc(module.module, name) or b"").decode(),
            )
        )
    programs = {}
    for number in range(lib.bpf_num_functions(module.module)):
        name = lib.bpf_function_name(module.module, number)
        try:
            programs[name.decode()] = _Program(module.dump_func(name)).linked(numbers).hex()
        except KeyError as exc:  # a descriptor that is none of a map of its own
            raise _Unusable(name) from exc
    _forget(file.parent)
    kept = json.dumps({"tables": [asdict(one) for one in tables], "programs": programs})
    with atomic_file(file) as beside:
        beside.write_text(f"{hashlib.sha256(kept.encode()).hexdigest()}\n{kept}")


def _forget(folder: Path) -> None:
    """Leave the newest, of this kernel and of others (the lab machine's)."""
    kept = sorted(folder.glob("*.kept"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[_MOST - 1 :]:
        path.unlink(missing_ok=True)


def _again(tables: list[_Table], programs: Mapping[bytes, _Program]) -> Any:
    import bcc

    class Kept(bcc.BPF):  # type: ignore[misc]
        """bcc's module with programs of ours in place of its own."""

        def get_table(self, name: bytes, *_: object, **options: Any) -> Any:
            key, leaf = types[name]
            return super().get_table(name, key, leaf, **options)

        def load_func(
            self, name: bytes, kind: int, device: object = None, attach_type: int = -1
        ) -> bcc.BPF.Function:
            if name not in self.funcs:
                descriptors = {number: self[table].map_fd for number, table in enumerate(types)}
                fd = _load(self.module, name, programs[name].linked(descriptors), kind, device, attach_type)
                self.funcs[name] = bcc.BPF.Function(self, name, fd)
            return self.funcs[name]

    types = {table.name.encode(): (_type(table.key), _type(table.leaf)) for table in tables}
    try:
        return Kept(
            text="\n".join(
                [*map(_declared, tables), "int qtrace_nothing(void *ctx) { return 0; }\n"]
            ).encode()
        )
    except Exception as exc:
        raise _Unusable(str(exc)) from exc


def _load(module: Any, name: bytes, code: bytes, kind: int, device: object, attach_type: int) -> int:
    from bcc.libbcc import lib

    licence, version = lib.bpf_module_license(module), lib.bpf_module_kern_version(module)
    fd = int(
        lib.bcc_func_load(
            module, kind, name, code, len(code), licence, version, 0, None, 0, device, attach_type
        )
    )
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number) if number else errno.errorcode.get(-fd, "refused"))
    return fd


def _declared(table: _Table) -> str:
    """A map of the same size and kind, with bcc's macros (helpers.h); what is in it matters to us alone."""
    if table.kind == _RING:
        return f"BPF_RINGBUF_OUTPUT({table.name}, {table.entries // mmap.PAGESIZE});"
    kind, key, leaf = _KINDS[table.kind], f"key_{table.name}", f"leaf_{table.name}"
    words = [_sized(key, table.key_size), _sized(leaf, table.leaf_size)]
    return "\n".join(
        [*words, f'BPF_F_TABLE("{kind}", {key}, {leaf}, {table.name}, {table.entries}, {table.flags});']
    )


def _sized(name: str, size: int) -> str:
    width = _WIDTHS.get(size)
    return f"typedef {width} {name};" if width else f"typedef struct {{ u8 byte[{size}]; }} {name};"


def _type(described: str) -> Any:
    import bcc

    return bcc.BPF._decode_table_type(json.loads(described)) if described else None
