"""The helpers that TCG's generated code calls. Their symbols are hidden, but QEMU keeps a table with their
names (tcg/tcg.c: `TCGHelperInfo`, a pointer to the function followed by one to its name)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from qtrace.binary.file.elf import Elf

__all__ = ["tcg_helpers"]

_NEAR = 256  # bytes: an entry has 24 in QEMU 7.2; in 10.0 each is a separate variable of more than a hundred


def tcg_helpers(elf: Elf, starts: Collection[int], declared: Collection[str]) -> Mapping[int, str]:
    """Address -> `helper_NAME` of the helpers whose name is among `declared`, the names in the source. A name
    beside several functions, or a function beside several names, is left out."""
    pairs: dict[int, tuple[str, int]] = {}
    pointers = elf.pointers
    for place, target in pointers.items():
        name = elf.text_at(pointers[place + 8]) if target in starts and place + 8 in pointers else None
        if name and name in declared:
            pairs[place] = name, target
    functions: dict[str, set[int]] = defaultdict(set)
    names: dict[int, set[str]] = defaultdict(set)
    for place, (name, target) in pairs.items():
        # Other tables hold functions beside names too, and one of them may be a helper by chance.
        if any(place + step in pairs for near in range(16, _NEAR, 8) for step in (-near, near)):
            functions[name].add(target)
            names[target].add(name)
    return {
        address: f"helper_{next(iter(said))}"
        for address, said in names.items()
        if len(said) == 1 and len(functions[next(iter(said))]) == 1
    }
