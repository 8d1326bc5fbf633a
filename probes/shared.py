"""Definitions that C and Python share, made once in Python: C's declarations are generated from them.

They precede a C text `NAME.bpf.c` if `NAME.py` beside it has a `SHARED`. A constant has the name of
`Shared.constants` in C, or an enum's prefix and member: `FD_TAP` is `Descriptor.TAP` in probes/syscalls.py.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

__all__ = ["Key", "Loss", "Shared", "loss_declarations"]

_TYPES: dict[type, str] = {
    ctypes.c_uint8: "u8",
    ctypes.c_uint16: "u16",
    ctypes.c_uint32: "u32",
    ctypes.c_uint64: "u64",
}


class Key:
    """A number packed from several fields, the most significant first: the key of a map, or an array's index.

    `fields` has the number of values of each field. C gets `NAME(first, …)`, which packs the key,
    `NAME_FIELD(key)`, which extracts one field, and `NAME_SIZE`, the number of keys, if an array can have
    that many elements. C does not check the values.
    """

    def __init__(self, name: str, /, **fields: int) -> None:
        self.name, self.fields = name, fields

    def __repr__(self) -> str:
        return f"Key({self.name!r}, {', '.join(f'{name}={size}' for name, size in self.fields.items())})"

    @property
    def size(self) -> int:
        """The number of keys."""
        return math.prod(self.fields.values())

    def pack(self, *values: int) -> int:
        """One value for each field -> the key. Raises ValueError for a value out of its field's range."""
        key = 0
        for value, (name, size) in zip(values, self.fields.items(), strict=True):
            if not 0 <= value < size:
                raise ValueError(f"{self.name}: {name} cannot be {value}")
            key = key * size + value
        return key

    def unpack(self, key: int) -> tuple[int, ...]:
        """The key -> one value for each field."""
        values = []
        for size in reversed(self.fields.values()):
            key, value = divmod(key, size)
            values.append(value)
        return tuple(reversed(values))

    def declarations(self) -> str:
        """The key as C macros."""
        width = "u32" if self.size <= 2**32 else "u64"
        whole, *_ = self.fields
        made = f"({width})({whole})"
        for name, size in list(self.fields.items())[1:]:
            made = f"({made} * {size} + ({width})({name}))"
        lines = [f"#define {self.name}({', '.join(self.fields)}) {made}"]
        below = 1
        for name, size in reversed(self.fields.items()):
            part = f"({width})(key) / {below}" if below > 1 else f"({width})(key)"
            lines.append(
                f"#define {self.name}_{name.upper()}(key) ({part if name == whole else f'{part} % {size}'})"
            )
            below *= size
        if self.size < 2**32:
            lines.append(f"#define {self.name}_SIZE {self.size}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Loss:
    """Data that a program may fail to keep: `lose(LOST_NAME)` counts the failure, and the run's ledger names
    the lost `item` and the consequence (`note`)."""

    name: str
    item: str
    note: str


@dataclass(frozen=True, slots=True)
class Shared:
    """The definitions of one C text. `enums` are by the prefix of their constants, `structs` by their C name;
    C lays the structs out like ctypes."""

    constants: Mapping[str, int] = field(default_factory=dict)
    enums: Mapping[str, type[IntEnum] | type[IntFlag]] = field(default_factory=dict)
    keys: Sequence[Key] = ()
    structs: Mapping[str, type[ctypes.Structure]] = field(default_factory=dict)
    losses: Sequence[Loss] = ()

    @property
    def values(self) -> dict[str, int]:
        """Every constant by its name in C, without the losses."""
        found = dict(self.constants)
        for prefix, members in self.enums.items():
            found |= {f"{prefix}_{name}": int(member) for name, member in members.__members__.items()}
        return found

    def declarations(self) -> str:
        """The definitions as C declarations, without the losses."""
        constants = "".join(f"#define {name} {value:#x}\n" for name, value in self.constants.items())
        enums = "".join(_enum(prefix, members) for prefix, members in self.enums.items())
        keys = "".join(f"{key.declarations()}\n" for key in self.keys)
        return constants + enums + keys + "".join(_struct(name, kind) for name, kind in self.structs.items())


def loss_declarations(losses: Iterable[Loss]) -> str:
    """The losses of all programs as one C enum, in this order; `LOST_KINDS` is their number."""
    return f"enum {{ {', '.join(f'LOST_{loss.name}' for loss in losses)}, LOST_KINDS }};\n"


def _enum(prefix: str, members: type[IntEnum] | type[IntFlag]) -> str:
    named = (f"{prefix}_{name} = {int(member)}" for name, member in members.__members__.items())
    return f"enum {{ {', '.join(named)} }};\n"


def _struct(name: str, kind: type[ctypes.Structure]) -> str:
    members = "".join(f" {_TYPES[type_]} {member};" for member, type_ in kind._fields_)  # type: ignore[misc]
    return f"struct {name} {{{members} }};\n"
