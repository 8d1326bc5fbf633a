"""Caches the compiled eBPF programs, because clang takes seconds of CPU time for them.

bcc does not store an object file, but returns each program's instructions and a description of its maps. The
cache makes a module from these: a text with only the maps, which bcc compiles in a tenth of the time, and the
instructions with the descriptors of the new maps. A cached module is valid for one text, one bcc and one
build of the kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
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
from qtrace.errors import MissingPrerequisite, TraceError
from qtrace.trace.bpf.kernel_calls import load
from qtrace.trace.bpf.messages import caught, kept_as

__all__ = ["make_module", "typed_library"]

_FORMAT = 2
_KINDS = {1: "hash", 2: "array", 5: "percpu_hash", 6: "percpu_array", 27: "ringbuf"}  # enum bpf_map_type
_RING = 27
# Since Linux 6.19, headers have unnamed members of named structs; for older headers the flag changes nothing.
_FLAGS = ("-fms-extensions", "-Wno-microsoft-anon-tag")
_LOG = 16 << 20  # bytes of the verifier's log
_STATISTICS = ("processed ", "verification time", "stack depth")
_MOST = 8  # files in the cache, a fifth of a megabyte each
# linux/bpf.h: a 64-bit load takes two instructions; the source register of this one marks a map's descriptor.
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
    key: str  # bcc's description of the key's type
    leaf: str


@dataclass(frozen=True, slots=True)
class _Program:
    code: bytes  # with table numbers in place of descriptors

    def linked(self, descriptors: Mapping[int, int]) -> bytes:
        """The code with each table number replaced by its descriptor; raises KeyError."""
        code = bytearray(self.code)
        for at in range(0, len(code), _INSTRUCTION):
            if code[at] == _LOAD and code[at + 1] >> 4 == _IS_MAP:
                number = int.from_bytes(code[at + 4 : at + 8], "little")
                code[at + 4 : at + 8] = descriptors[number].to_bytes(4, "little")
        return bytes(code)


def make_module(text: str, headers: Path | None) -> tuple[Any, bool]:
    """A bcc module of the programs in `text`, and whether it came from the cache. Its `load_func` raises
    TraceError if the kernel refuses a program; this function raises TraceError if they do not compile."""
    import bcc

    name = f"{_key(text, bcc.__version__, headers)}.kept"
    # Without a cache, or with damaged files in it, the programs are compiled.
    with contextlib.suppress(MissingPrerequisite, OSError, ValueError, KeyError, TypeError, _Unusable):
        file = cache_dir("programs") / name
        # Root must not load programs from a folder to which other users can write.
        if file.stat().st_uid in (0, os.geteuid()):
            return _again(*_read(file)), True
    module = _compiled(text)
    with contextlib.suppress(MissingPrerequisite, OSError, _Unusable):
        _keep(module, cache_dir("programs") / name)
    return module, False


def _compiled(text: str) -> Any:
    with caught() as messages:
        try:
            return _module_of(text)
        except Exception as exc:
            messages.seek(0)
            said = messages.read().decode(errors="replace")
            error = next((line for line in said.splitlines() if "error:" in line), str(exc))
            raise TraceError(
                f"the eBPF programs do not compile: {error}{kept_as('compiler', said) if said else ''}",
                hint="'qtrace doctor' shows headers and versions",
            ) from exc


class _Unusable(Exception):
    """These programs cannot be cached, or not be restored from the cache."""


def _key(text: str, release: str, headers: Path | None) -> str:
    about = (
        _FORMAT,
        _FLAGS,
        text,
        release,
        platform.release(),
        platform.version(),
        platform.machine(),
        str(headers),
    )
    return hashlib.sha256(repr(about).encode()).hexdigest()[:32]


def _read(file: Path) -> tuple[list[_Table], dict[bytes, _Program]]:
    """Raises ValueError and others for a damaged file."""
    digest, _, text = file.read_text().partition("\n")
    if digest != hashlib.sha256(text.encode()).hexdigest():
        raise ValueError(file)
    kept = json.loads(text)
    tables = [_Table(**table) for table in kept["tables"]]
    programs = {name.encode(): _Program(bytes.fromhex(code)) for name, code in kept["programs"].items()}
    return tables, programs


def typed_library() -> Any:
    """bcc's library, with the types of four functions that bcc itself does not call: without types, a
    pointer is cut to 32 bits."""
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
        except KeyError as exc:  # a descriptor that does not belong to one of the module's maps
            raise _Unusable(name) from exc
    _forget(file.parent)
    kept = json.dumps({"tables": [asdict(one) for one in tables], "programs": programs})
    with atomic_file(file) as beside:
        beside.write_text(f"{hashlib.sha256(kept.encode()).hexdigest()}\n{kept}")


def _forget(folder: Path) -> None:
    """Remove all but the newest files, of this kernel and of others (the lab machine's)."""
    kept = sorted(folder.glob("*.kept"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[_MOST - 1 :]:
        path.unlink(missing_ok=True)


def _again(tables: list[_Table], programs: Mapping[bytes, _Program]) -> Any:
    """A module of the maps only, with the cached programs in place of its own."""
    types = {table.name.encode(): (_type(table.key), _type(table.leaf)) for table in tables}
    text = "\n".join([*map(_declared, tables), "int qtrace_nothing(void *ctx) { return 0; }\n"])
    with caught():
        try:
            return _module_of(text, types, programs)
        except Exception as exc:
            raise _Unusable(str(exc)) from exc


def _module_of(
    text: str,
    types: Mapping[bytes, tuple[Any, Any]] | None = None,
    programs: Mapping[bytes, _Program] | None = None,
) -> Any:
    """bcc's module of `text`, or with `programs` in place of its own, whose maps' keys and values have these
    `types`. qtrace loads the programs itself, because bcc prints the verifier's log. Raises bcc's
    exceptions."""
    import bcc

    class Module(bcc.BPF):  # type: ignore[misc]
        def get_table(self, name: bytes, *given: object, **options: Any) -> Any:
            return super().get_table(name, *(types[name] if types else given), **options)

        def load_func(
            self, name: bytes, kind: int, device: object = None, attach_type: int = 0
        ) -> bcc.BPF.Function:
            """Load a program. Raises TraceError, for a second call the same one."""
            if name in refused:
                raise refused[name]
            if name not in self.funcs:
                if programs is None:
                    code = self.dump_func(name)
                else:
                    maps = {number: self[table].map_fd for number, table in enumerate(types or ())}
                    code = programs[name].linked(maps)
                try:
                    fd = _loaded(self.module, name.decode(), kind, code, attach_type)
                except TraceError as exc:
                    refused[name] = exc
                    raise
                self.funcs[name] = bcc.BPF.Function(self, name, fd)
            return self.funcs[name]

    refused: dict[bytes, TraceError] = {}
    return Module(text=text.encode(), cflags=_FLAGS)


def _loaded(module: Any, name: str, kind: int, code: bytes, attach_type: int) -> int:
    """The descriptor of a program; raises TraceError with the verifier's reason."""
    from bcc.libbcc import lib

    about = lib.bpf_module_license(module), lib.bpf_module_kern_version(module), attach_type
    try:
        return load(name, kind, code, *about)
    except OSError as exc:
        log = ctypes.create_string_buffer(_LOG)
        with contextlib.suppress(OSError):
            return load(name, kind, code, *about, log)
        said = log.value.decode(errors="replace")
        where = kept_as(name, said) if said else ""
        reason = f"{_reason(said) or exc.strerror}{where}"
        raise TraceError(f"the kernel refuses the program {name}: {reason}") from exc


def _reason(said: str) -> str:
    """The verifier's last line before its statistics."""
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(_STATISTICS)]
    return lines[-1].strip() if lines else ""


def _declared(table: _Table) -> str:
    """The declaration of a map with the same size and kind, in bcc's macros (helpers.h); its types do not
    matter."""
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
