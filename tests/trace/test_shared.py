"""What C and Python share: the compiler and the kernel's maps have it as Python describes it."""

from __future__ import annotations

import ctypes
import itertools
import os
import re
from pathlib import Path

import pytest
from clang import cindex
from hypothesis import given, settings
from hypothesis import strategies as st
from modules import Make

from qtrace.measure.instrument_registry import instruments
from qtrace.measure.instruments.copies import COPY
from qtrace.measure.instruments.retransmissions import AGAIN, TCP_LAYOUT
from qtrace.probes import Source, losses, program_text, sources_in
from qtrace.probes.common import OWNERS, SIDE, SLOTS, STAGE, WAY
from qtrace.probes.dma import RING
from qtrace.probes.frames import GROUP
from qtrace.probes.shared import Key, Loss, Shared
from qtrace.trace.bpf.attachments import Attachments
from qtrace.trace.qemu.layout import FIELDS as TARGET_FIELDS

ROOT = Path(__file__).parent.parent.parent
INSTRUMENTS = [entry.source for entry in instruments().values()]
SOURCES = [*sources_in(ROOT / "probes", "qtrace.probes"), *INSTRUMENTS]
KEYS = [key for source in SOURCES for key in source.shared.keys]
TYPES = (
    "typedef unsigned char u8; typedef unsigned short u16; typedef unsigned u32; typedef unsigned long u64;\n"
)
_EXHAUSTED = 4096  # keys of which each is tried


def _errors(text: str) -> list[str]:
    """What the compiler has against a C text, with -Wall."""
    unit = cindex.Index.create().parse("shared.c", ["-Wall"], unsaved_files=[("shared.c", TYPES + text)])
    return [str(found) for found in unit.diagnostics]


def _equal(expression: str, value: int) -> str:
    return f'_Static_assert({expression} == {value}ul, "{expression}");\n'


def _as_described(shared: Shared) -> str:
    """Assertions of every value and of every struct's layout."""
    said = [_equal(name, value) for name, value in shared.values.items()]
    said += [_equal(f"{key.name}_SIZE", key.size) for key in shared.keys if key.size < 2**32]
    for name, kind in shared.structs.items():
        said.append(_equal(f"sizeof(struct {name})", ctypes.sizeof(kind)))
        for field, *_ in kind._fields_:
            at, size = getattr(kind, field).offset, getattr(kind, field).size
            said.append(_equal(f"__builtin_offsetof(struct {name}, {field})", at))
            said.append(_equal(f"sizeof(((struct {name} *)0)->{field})", size))
    return "".join(said)


def _round(key: Key, values: tuple[int, ...]) -> str:
    """Assertions that C packs these values into the same key, and gets them out of it."""
    packed = key.pack(*values)
    assert key.unpack(packed) == values
    given_ = ", ".join(f"{value}u" for value in values)
    fields = zip(key.fields, values, strict=True)
    taken = (_equal(f"{key.name}_{name.upper()}({packed}ul)", value) for name, value in fields)
    return _equal(f"{key.name}({given_})", packed) + "".join(taken)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_declarations_compile_and_say_the_same(source: Source) -> None:
    assert not _errors(source.shared.declarations() + _as_described(source.shared))


def test_a_wrong_value_would_be_seen() -> None:
    shared = Shared(constants={"SLOTS": 64})
    assert _errors(shared.declarations() + _equal("SLOTS", 65))


def test_every_name_is_declared_once() -> None:
    names = [name for source in SOURCES for name in source.shared.values]
    names += [f"LOST_{loss.name}" for loss in losses(INSTRUMENTS)]
    assert len(names) == len(set(names)) > 40


@pytest.mark.parametrize(
    "key", [key for key in KEYS if key.size <= _EXHAUSTED], ids=lambda key: str(key.name)
)
def test_every_small_key_goes_to_c_and_back(key: Key) -> None:
    every = list(itertools.product(*map(range, key.fields.values())))
    assert [key.pack(*values) for values in every] == list(range(key.size))
    assert not _errors(key.declarations() + "\n" + "".join(_round(key, values) for values in every))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_key_goes_to_c_and_back(data: st.DataObject) -> None:
    said = ""
    for key in KEYS:
        values = (data.draw(st.integers(0, size - 1)) for size in key.fields.values())
        said += key.declarations() + "\n" + _round(key, tuple(values))
    assert not _errors(said)


@given(st.data())
def test_a_value_beyond_its_field_is_refused(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(KEYS))
    values = [data.draw(st.integers(0, size - 1)) for size in key.fields.values()]
    at = data.draw(st.integers(0, len(values) - 1))
    values[at] = data.draw(st.sampled_from([-1, list(key.fields.values())[at]]))
    with pytest.raises(ValueError, match=key.name):
        key.pack(*values)


@pytest.mark.needs("root", "bcc")
def test_the_kernel_s_maps_are_as_python_takes_them(make: Make, headers: Path | None) -> None:
    """In the module that was compiled, and in the one that is made from what was kept."""
    asserted = "".join(_as_described(source.shared) for source in SOURCES)
    for kept in (False, True):
        module, was_kept = make(program_text(INSTRUMENTS) + "\n" + asserted, headers)
        assert was_kept is kept
        sizes = {"counts": STAGE, "frame_parts": STAGE, "copies": COPY, "retransmissions": AGAIN}
        sizes |= {"frames_waiting": GROUP, "frame_counts": GROUP}
        sizes |= dict.fromkeys(("virtqueue_slots", "syscall_slots", "vhost_slots"), SIDE)
        sizes |= dict.fromkeys(("interrupt_slots", "dma_slots"), SIDE)
        sizes |= {"way_counts": WAY, "dma_rings": RING}
        lengths = {table: key.size for table, key in sizes.items()}
        lengths |= {
            "places": SLOTS,
            "followed_as": OWNERS,
            "last_way": OWNERS,
            "lost": len(losses(INSTRUMENTS)),
        }
        assert {name: len(module[name.encode()]) for name in lengths} == lengths
        fields = {
            name: {field for field, *_ in module[name].Leaf._fields_ if "pad" not in field}
            for name in _STRUCTS
        }
        assert fields == _STRUCTS
        widths = {table: ctypes.sizeof(module[table].Key) for table in _KEYED}
        assert widths == {table: 4 if key.size <= 2**32 else 8 for table, key in _KEYED.items()}


_KEYED = {
    **dict.fromkeys(
        (b"edges", b"frame_times", b"frame_waits"), next(key for key in KEYS if key.name == "EDGE_KEY")
    ),
    b"frames_now": next(key for key in KEYS if key.name == "FRAME_KEY"),
    b"frame_stops": next(key for key in KEYS if key.name == "FRAME_STOP_KEY"),
}
_STRUCTS = {
    b"targets": {"tgid", "running", "owners", "sockets", *TARGET_FIELDS},
    b"tcp_layout": TCP_LAYOUT,
}

OWN = """
BPF_ARRAY(own_numbers, u64, OWN_KEY_SIZE);
int on_own(struct bpf_raw_tracepoint_args *ctx) {
    u32 index = OWN_KEY(OWN_SECOND, 3);
    u64 *number = own_numbers.lookup(&index);
    if (!number || bpf_get_current_pid_tgid() >> 32 != OWN_PID)
        return 0;
    lock_xadd(number, 1);
    lose(LOST_OWN);
    return 0;
}
"""


@pytest.mark.needs("root", "bcc")
def test_a_source_of_another_folder_brings_declarations_and_losses(
    make: Make, headers: Path | None, tmp_path: Path
) -> None:
    from enum import IntEnum

    numbers = IntEnum("numbers", ["FIRST", "SECOND"], start=0)
    key = Key("OWN_KEY", number=len(numbers), part=5)
    (tmp_path / "own.bpf.c").write_text(OWN)
    own = Source(
        tmp_path / "own.bpf.c",
        Shared({"OWN_PID": os.getpid()}, {"OWN": numbers}, [key], losses=[Loss("OWN", "what is ours", "")]),
    )
    assert losses([own]) == (*losses(), own.shared.losses[0])
    module, _ = make(program_text([own]), headers)
    attached = Attachments(module, os.getpid())
    try:
        attached.raw_tracepoint("on_own", "sys_exit")
        before = sum(module[b"lost"][ctypes.c_int(len(losses()))])
        for _ in range(1009):
            os.getppid()
    finally:
        attached.close()
    counted = [module[b"own_numbers"][ctypes.c_int(at)].value for at in range(key.size)]
    lost = sum(module[b"lost"][ctypes.c_int(len(losses()))])
    assert counted[key.pack(1, 3)] == lost >= before + 1009
    assert not any(counted[: key.pack(1, 3)] + counted[key.pack(1, 3) + 1 :])


def test_nothing_is_kept_equal_by_hand() -> None:
    by_hand = re.compile(r"kept equal|keep equal", re.IGNORECASE)
    files = [
        path
        for room in ("qtrace", "probes")
        for path in (ROOT / room).rglob("*")
        if path.suffix in (".py", ".c")
    ]
    assert len(files) > 200
    assert not [path for path in files if by_hand.search(path.read_text())]
