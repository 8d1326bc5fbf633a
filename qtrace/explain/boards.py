"""The on-board NIC of other targets' boards, from the board's file in hw/: versatilepb's smc91c111.

It is needed only for -nic and -net nic. Buses and slots of these machines are unknown.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

__all__ = ["board_file", "board_nic"]

# Target -> its folder of hw/.
_FOLDERS = {
    **dict.fromkeys(("arm", "aarch64"), "arm"),
    **dict.fromkeys(("riscv32", "riscv64"), "riscv"),
    **dict.fromkeys(("ppc", "ppc64"), "ppc"),
    **dict.fromkeys(("mips", "mipsel", "mips64", "mips64el"), "mips"),
    "s390x": "s390x",
    "m68k": "m68k",
    "loongarch64": "loongarch",
}
# The code with which a board names its default NIC; the first match counts.
_NICS = (
    re.compile(r'default_nic = "([\w.-]+)"'),
    re.compile(r'!nd->model \|\|\s*strcmp\(nd->model, "([\w.-]+)"'),
    re.compile(r'nd->model = g_strdup\("([\w.-]+)"\)'),
    re.compile(r'qemu_find_nic_info\("([\w.-]+)"'),
    re.compile(r'pci_init_nic_(?:in_slot|devices)\([^,;]+, "([\w.-]+)"'),
    re.compile(r"\b(\w+)_init\(&nd_table\[0\]"),
)


def board_nic(root: Path, target: str, machine: str) -> str:
    """The model of the board's own NIC, empty if its file names none or is not found."""
    path = board_file(root, target, machine)
    text = path.read_text(errors="replace") if path else ""
    return next((found[1] for rule in _NICS if (found := rule.search(text))), "")


def board_file(root: Path, target: str, machine: str) -> Path | None:
    """The file of hw/ that defines a machine: by its name, or by its versions' name (virt-7.2)."""
    family = re.sub(r"-\d[\w.]*$", "", machine)
    for path, text in _sources(root / "hw" / _FOLDERS.get(target, "-")):
        for name in filter(None, dict.fromkeys((machine, family))):
            written = re.escape(name)
            made = rf'(?:MACHINE_TYPE_NAME|DEFINE_MACHINE)\w*\("{written}-?"|alias = "{written}"'
            if re.search(rf'{made}|MACHINE_VER_TYPE_NAME\("{written}"', text):
                return path
    return None


@lru_cache(maxsize=8)
def _sources(folder: Path) -> list[tuple[Path, str]]:
    return [(path, path.read_text(errors="replace")) for path in sorted(folder.glob("*.c"))]
