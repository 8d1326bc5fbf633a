"""Boards of other targets: their own programs, as Debian has them, agree about the NIC of the board.

They are unpacked and not installed, with the firmware that they look for.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import Program, unpack_program
from witness import ask

from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite
from qtrace.explain.explanation import Reader
from qtrace.store.index import Index

pytestmark = [pytest.mark.slow, pytest.mark.needs("qemu-system-x86_64", "unshare", "setpriv")]

SUITE = "bookworm"  # whose programs run here, and whose release the index `earlier` is of
# Package -> (program, machines).
BOARDS = {
    "arm": {
        "aarch64": (
            *("virt", "virt-4.0", "raspi3b", "raspi2b", "versatilepb", "vexpress-a9", "sabrelite"),
            *("highbank", "xilinx-zynq-a9", "xlnx-zcu102", "ast2600-evb", "cubieboard"),
            *("orangepi-pc", "mps2-an385", "musicpal", "integratorcp", "nuri", "smdkc210", "sbsa-ref"),
        ),
    },
    "misc": {
        "riscv64": ("virt", "sifive_e", "sifive_u"),
        "s390x": ("s390-ccw-virtio", "s390-ccw-virtio-4.2"),
        "m68k": ("next-cube", "virt"),
        "sh4": ("r2d",),
        "alpha": ("clipper",),
        "xtensa": ("virt",),
    },
    "ppc": {"ppc64": ("pseries", "pseries-5.0"), "ppc": ("mac99", "g3beige", "bamboo")},
    "mips": {"mips": ("malta",)},
}
LINES = ("", "-nic user", "-net nic -net user", "-nodefaults")
_FIRMWARE = (
    ("qemu-system-data", "usr/share/qemu/*"),
    ("ipxe-qemu", "usr/lib/ipxe/qemu/*"),
    ("seabios", "usr/share/seabios/*"),
    ("qemu-system-ppc", "usr/share/qemu/*"),
    ("opensbi", "usr/lib/riscv64-linux-gnu/opensbi/generic/*"),
)
# Where another package's file stands under QEMU's name.
_RENAMED = {"fw_dynamic.bin": "opensbi-riscv64-generic-fw_dynamic.bin"}
# Of these the files of the tree leave it to a condition, or have no word of it.
UNKNOWN = "the machine's own"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The firmware, where anybody may read it."""
    with tempfile.TemporaryDirectory(prefix="qtrace-boards-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for package, pattern in _FIRMWARE:
            try:
                files = list(distribution().fetch_package(package, suite=SUITE).glob(pattern))
            except MissingPrerequisite as exc:
                pytest.skip(f"Debian {SUITE}'s {package} is not to be had: {exc}")
            for file in files:
                if file.is_file():
                    shutil.copy(file, folder / _RENAMED.get(file.name, file.name))
        for file in folder.iterdir():
            file.chmod(0o644)
        yield folder


@pytest.fixture(scope="module")
def programs(home: Path) -> Iterator[dict[str, Program]]:
    """Target -> its program."""
    with tempfile.TemporaryDirectory(prefix="qtrace-qemu-") as name:
        folder, found = Path(name), {}
        for package, targets in BOARDS.items():
            for target in targets:
                try:
                    found[target] = unpack_program(folder, SUITE, package, f"qemu-system-{target}")
                except MissingPrerequisite as exc:
                    pytest.skip(f"Debian {SUITE}'s qemu-system-{package} is not to be had: {exc}")
        yield found


@pytest.fixture(scope="module")
def boards_reader(earlier: Index) -> Reader:
    return Reader(earlier)


@pytest.mark.parametrize(
    ("target", "machine"),
    [
        (target, machine)
        for targets in BOARDS.values()
        for target, machines in targets.items()
        for machine in machines
    ],
)
def test_the_board_s_own_program_agrees(
    boards_reader: Reader, programs: dict[str, Program], home: Path, target: str, machine: str
) -> None:
    """Which NIC it makes, or that it makes none. How many the board always has is not known here."""
    for options in LINES:
        words = ["-M", machine, *shlex.split(options)]
        account = ask(["-L", str(home), *words], home, "", programs[target])
        assert not account.refused, account.refused
        theirs = {nic["type"] or name.rpartition(".")[0] for name, nic in account.nics.items()}
        data = boards_reader.explain([f"qemu-system-{target}", *words])
        mine = {nic["type"] for nic in data["nics"]}
        assert UNKNOWN not in mine, (options, theirs)
        if options != "-nodefaults":  # a card on the board is there even so
            assert mine == theirs, options


def test_what_a_condition_of_the_board_decides_is_unknown(boards_reader: Reader) -> None:
    """Stellaris boards share one function, which asks each board's registers."""
    for machine in ("lm3s6965evb", "lm3s811evb", "realview-eb", "realview-pb-a8"):
        data = boards_reader.explain(["qemu-system-arm", "-M", machine, "-nic", "user"])
        assert [nic["type"] for nic in data["nics"]] == [UNKNOWN]


def test_a_board_without_a_nic_says_so(boards_reader: Reader) -> None:
    data = boards_reader.explain(["qemu-system-arm", "-M", "raspi3b", "-nic", "user"])
    said = " ".join(row["text"] for row in data["warnings"])
    assert not data["nics"] and "makes no NIC" in said and "no NIC uses this netdev" in said
