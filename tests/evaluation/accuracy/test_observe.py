"""The jumps of a binary to libraries, against the place that each reads its target from."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from elftools.elf.elffile import ELFFile
from observe import library_jumps

_INDIRECT = b"\xff\x25"  # jmp *distance(%rip)


def test_a_jump_reads_the_place_of_its_own_function() -> None:
    binary = shutil.which("qemu-system-x86_64")
    assert binary
    with Path(binary).open("rb") as handle:
        found = library_jumps(handle)
        elf = ELFFile(handle)
        code, targets = elf.get_section_by_name(".plt"), elf.get_section_by_name(".rela.plt")
        symbols = elf.get_section(targets["sh_link"])
        names = {
            target["r_offset"]: symbols.get_symbol(target["r_info_sym"]).name
            for target in targets.iter_relocations()
        }
        data, base = code.data(), code["sh_addr"]
    assert {"readv", "writev", "sendmsg", "slirp_input"} <= {name for _, (name, _) in found.values()}
    for start, (_, (name, file)) in found.items():
        jump = data[start - base :]
        (distance,) = struct.unpack_from("<i", jump, len(_INDIRECT))
        assert jump.startswith(_INDIRECT) and file == ""
        assert names[start + len(_INDIRECT) + 4 + distance] == name
