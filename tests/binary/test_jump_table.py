"""clang's control-flow integrity: a pointer to a function leads to an entry of a jump table."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtrace.binary.file.elf import Elf

pytestmark = pytest.mark.needs("qemu-system-x86_64")


def entry(place: int, target: int) -> bytes:
    """jmp target; int3; int3; int3"""
    return b"\xe9" + (target - place - 5).to_bytes(4, "little", signed=True) + b"\xcc" * 3


def test_an_entry_is_its_function(earlier_file: Path, tmp_path: Path) -> None:
    """Two entries are written over a function that is as long, and one alone over another."""
    elf = Elf(earlier_file)
    here, alone, *targets = (elf.exports[name] for name in ("qemu_send_packet_async", "qemu_set_irq",
                                                           "virtio_notify", "pci_set_irq"))  # fmt: skip
    assert not here % 8 and not alone % 8
    data = bytearray(earlier_file.read_bytes())
    written = b"".join(entry(here + 8 * number, target) for number, target in enumerate(targets))
    data[elf.offset_of(here) - 8 : elf.offset_of(here) + 24] = bytes(8) + written + bytes(8)
    data[elf.offset_of(alone) - 8 : elf.offset_of(alone) + 16] = (
        bytes(8) + entry(alone, targets[0]) + bytes(8)
    )
    changed = tmp_path / "qemu-system-x86_64"
    changed.write_bytes(data)
    table = Elf(changed)
    assert [table.body_at(here + 8 * number) for number in (0, 1, 2)] == [*targets, here + 16]
    assert table.exports["qemu_send_packet_async"] == targets[0]
    # One alone may be a function that only calls another.
    assert table.body_at(alone) == alone == table.exports["qemu_set_irq"]
    # A binary without such a table has none.
    assert all(elf.body_at(address) == address for address in elf.exports.values())
    assert all(elf.body_at(target) == target for target in elf.pointers.values())
