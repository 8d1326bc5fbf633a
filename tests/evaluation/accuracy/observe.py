"""Which calls really happen: every entry of every indexed function of a QEMU with symbols, with its caller.

One eBPF program on every function notes (function, return address) in a map. The binary must be built so
that a source call is a call: without inlining, clones and sibling calls (`make accuracy` does that).
"""

from __future__ import annotations

import bisect
import contextlib
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from elftools.elf.elffile import ELFFile

from qtrace.errors import TraceError
from qtrace.path import stage_functions as stages
from qtrace.store.index import Index
from qtrace.trace.bpf.prerequisites import ensure_headers
from qtrace.trace.qemu.target import Target

__all__ = ["Call", "Code", "Function", "Observer", "Seen", "library_jumps", "open_observer"]

# By which a device reaches guest memory, some of them inline in a header.
_MEMORY = frozenset((*stages.DEQUEUE, *stages.GUEST_WRITE, *stages.ENQUEUE))
# What a netdev calls of libraries, of which the binary has a jump each.
_HOST = frozenset((*stages.HOST_WRITE, *stages.HOST_READ))
_JUMP = 16  # bytes of one, and of what stands before the first
# (name, file in QEMU's tree; empty for a function of a library)
Function = tuple[str, str]
# (caller, callee)
Call = tuple[Function, Function]

_PROGRAM = b"""
#include <uapi/linux/ptrace.h>
struct call { u64 function; u64 back; };
BPF_HASH(calls, struct call, u64, 262144);
BPF_ARRAY(lost, u64, 1);
int on_entry(struct pt_regs *ctx) {
    struct call call = {.function = PT_REGS_IP(ctx)};
    u64 nothing = 0, *count;
    bpf_probe_read_user(&call.back, sizeof(call.back), (void *)PT_REGS_SP(ctx));
    count = calls.lookup_or_try_init(&call, &nothing);
    if (count)
        lock_xadd(count, 1);
    else {
        int zero = 0;
        u64 *gone = lost.lookup(&zero);
        if (gone)
            lock_xadd(gone, 1);
    }
    return 0;
}
"""


@dataclass(frozen=True)
class Code:
    """The indexed functions of a binary, and its jumps to the libraries' by which a frame leaves and enters:
    start, end (virtual addresses) and which one it is, in order."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    functions: tuple[Function, ...]

    @classmethod
    def of(cls, binary: Path, index: Index) -> Code:
        """A static name that repeats is told apart by the file symbol that stands before it."""
        known: dict[str, set[str]] = {}
        for row in index.functions().values():
            if row.file:
                known.setdefault(row.name, set()).add(row.file)
        found: dict[int, tuple[int, Function]] = {}
        with binary.open("rb") as handle:
            table = ELFFile(handle).get_section_by_name(".symtab")
            if table is None:
                raise TraceError(f"{binary} has no symbol table")
            file = ""
            for symbol in table.iter_symbols():
                kind = symbol["st_info"]["type"]
                if kind == "STT_FILE":
                    file = symbol.name
                if kind != "STT_FUNC" or not symbol["st_size"]:
                    continue
                local = symbol["st_info"]["bind"] == "STB_LOCAL"
                files = known.get(symbol.name, set())
                if local:
                    here = {
                        name for name in files if name.endswith(".h") or Path(name).name == Path(file).name
                    }
                    files = here or set()
                if len(files) == 1:
                    start = symbol["st_value"]
                    found[start] = (start + symbol["st_size"], (symbol.name, next(iter(files))))
            found |= library_jumps(handle)
        order = sorted(found)
        return cls(tuple(order), tuple(found[at][0] for at in order), tuple(found[at][1] for at in order))

    def at(self, address: int) -> Function | None:
        """The indexed function that holds an address."""
        place = bisect.bisect_right(self.starts, address) - 1
        return self.functions[place] if place >= 0 and address < self.ends[place] else None


class Seen(NamedTuple):
    """Calls between indexed functions, and how many came from elsewhere: other files, libraries. `host`:
    calls of indexed functions to the libraries' by which a frame leaves and enters."""

    calls: dict[Call, int]
    outside: int
    host: dict[Call, int]


class Observer:
    """Probes on every indexed function of C files, and of headers by which a NIC reaches guest memory, in
    whatever process runs the binary."""

    def __init__(self, module: Any, binary: Path, code: Code, probed: int) -> None:
        self._module = module
        self._binary = binary
        self._code = code
        self._first = _offsets(binary, code.starts[:1])[0]
        self.probed = probed

    def clear(self) -> None:
        """Forget what was observed."""
        self._module[b"calls"].clear()

    def observed(self, pid: int) -> Seen:
        """The calls since `clear`. Raises TraceError where some were lost."""
        found: dict[Call, int] = {}
        host: dict[Call, int] = {}
        outside = 0
        bias = Target(pid).address_of(self._binary, self._first) - self._code.starts[0]
        for call, count in self._module[b"calls"].items():
            callee, caller = self._code.at(call.function - bias), self._code.at(call.back - bias)
            if callee and caller:
                into = found if callee[1] else host
                into[caller, callee] = into.get((caller, callee), 0) + count.value
            elif callee and callee[1]:
                outside += count.value
        if lost := self._module[b"lost"][0].value:
            raise TraceError(f"{lost} calls were lost")
        return Seen(found, outside, host)


@contextlib.contextmanager
def open_observer(binary: Path, code: Code) -> Iterator[Observer]:
    """Attach once for all guests: the kernel takes a twentieth of a second for each of some thousand probes.

    The file may be run by nobody but us. Raises TraceError.
    """
    if headers := ensure_headers():
        os.environ["BCC_KERNEL_SOURCE"] = str(headers)
    import bcc
    from bcc.libbcc import lib

    module: Any = bcc.BPF(text=_PROGRAM)
    events: list[int] = []
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))  # one descriptor a probe
    try:
        program = module.load_func(b"on_entry", module.KPROBE).fd
        offsets = _offsets(binary, code.starts)
        for start, offset, function in zip(code.starts, offsets, code.functions, strict=True):
            if not _is_probed(*function):
                continue  # small and hot; as callers they are still known
            name = f"qtrace_call_{start:x}".encode()
            event = lib.bpf_attach_uprobe(program, 0, name, bytes(binary), offset, -1, 0)
            if event >= 0:  # the kernel cannot step over every first instruction (`lock …`)
                events.append(event)
        if not events:
            raise TraceError(f"no function of {binary} can be probed")
        yield Observer(module, binary, code, len(events))
    finally:
        for event in events:
            lib.bpf_close_perf_event_fd(event)
        module.cleanup()
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)


def library_jumps(handle: BinaryIO) -> dict[int, tuple[int, Function]]:
    """Start -> end and function: the n-th relocation is of the n-th jump."""
    elf = ELFFile(handle)
    jumps, targets = elf.get_section_by_name(".plt"), elf.get_section_by_name(".rela.plt")
    if jumps is None or targets is None:
        raise TraceError(f"{handle.name} has no jumps to libraries")
    symbols = elf.get_section(targets["sh_link"])
    found = {}
    for number, target in enumerate(targets.iter_relocations(), 1):
        start = jumps["sh_addr"] + number * _JUMP
        if (name := symbols.get_symbol(target["r_info_sym"]).name) in _HOST:
            found[start] = (start + _JUMP, (name, ""))
    return found


def _is_probed(name: str, file: str) -> bool:
    return not file.endswith(".h") or name in _MEMORY or file.startswith("hw/net/")


def _offsets(binary: Path, addresses: tuple[int, ...]) -> list[int]:
    with binary.open("rb") as handle:
        parts = [
            (part["p_vaddr"], part["p_vaddr"] + part["p_filesz"], part["p_offset"])
            for part in ELFFile(handle).iter_segments("PT_LOAD")
        ]
    return [
        next(address - low + offset for low, high, offset in parts if low <= address < high)
        for address in addresses
    ]
