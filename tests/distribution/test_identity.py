"""os-release decides, by ID and then by ID_LIKE; what each distribution calls things is in its file alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtrace.distribution.base import NEEDS
from qtrace.distribution.debian import Debian
from qtrace.distribution.fedora import Fedora
from qtrace.distribution.identity import distribution, distributions, identify
from qtrace.distribution.ubuntu import Ubuntu
from qtrace.distribution.unknown import Unknown
from qtrace.errors import MissingPrerequisite

ROOT = Path(__file__).parent.parent.parent

# The fields of os-release(5) as these releases have them.
RELEASES = {
    'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nID=debian\n': Debian,
    'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_CODENAME=trixie\n': Debian,
    'PRETTY_NAME="Debian GNU/Linux forky/sid"\nID=debian\n': Debian,
    'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nID=ubuntu\nID_LIKE=debian\nUBUNTU_CODENAME=noble\n': Ubuntu,
    'NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n': Ubuntu,
    'PRETTY_NAME="Raspbian GNU/Linux 12 (bookworm)"\nID=raspbian\nID_LIKE=debian\n': Debian,
    'NAME="Fedora Linux"\nID=fedora\nPRETTY_NAME="Fedora Linux 43 (Server Edition)"\n': Fedora,
    'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nPRETTY_NAME="Rocky Linux 10.0"\n': Fedora,
    'NAME="Arch Linux"\nPRETTY_NAME="Arch Linux"\nID=arch\n': Unknown,
    "": Unknown,
    '# a comment\nPRETTY_NAME="no end\nID=debian\n': Debian,
}


@pytest.mark.parametrize("text", RELEASES)
def test_a_release_is_known_by_its_os_release(text: str) -> None:
    assert type(identify(text)) is RELEASES[text]


def test_the_name_is_that_of_the_release() -> None:
    assert identify('PRETTY_NAME="Ubuntu 24.04.3 LTS"\nID=ubuntu\n').name == "Ubuntu 24.04.3 LTS"
    assert identify("NAME=Void\nID=void\n").name == "Void"


def test_every_file_with_ids_is_found() -> None:
    assert {"debian": Debian, "ubuntu": Ubuntu, "fedora": Fedora} == dict(distributions())


def test_hints_are_commands_of_the_distribution() -> None:
    debian, ubuntu, fedora = Debian("Debian"), Ubuntu("Ubuntu"), Fedora("Fedora")
    assert debian.hint("iperf3") == "run: apt-get install iperf3 (or 'make setup')"
    assert debian.hint("dpdk-testpmd") == "run: apt-get install dpdk-dev"
    assert debian.hint("nsenter", "unshare") == "run: apt-get install util-linux"
    assert ubuntu.hint("busybox") == "run: apt-get install busybox-static (or 'make setup')"
    assert fedora.hint("bcc") == "run: dnf install python3-bcc (or 'make setup')"
    assert fedora.hint("qemu-system-x86_64") == "run: dnf install qemu-system-x86-core (or 'make setup')"
    assert Unknown("Void").hint("iperf3") == "install iperf3 with the package manager of Void"


def test_what_an_unknown_distribution_cannot_do_says_what_would_do() -> None:
    void = Unknown("Void")
    for call in (
        lambda: void.source_of(Path("/usr/bin/qemu-system-x86_64")),
        lambda: void.fetch_source("qemu", "1"),
        lambda: void.fetch_newest_source("qemu", "trixie"),
    ):
        with pytest.raises(MissingPrerequisite, match="Void") as caught:
            call()
        assert "qtrace index --source TREE" in caught.value.hint
    with pytest.raises(MissingPrerequisite, match="Void") as caught:
        void.kernel_headers()
    assert "BCC_KERNEL_SOURCE" in caught.value.hint
    assert void.missing() == [] and "Void" in void.fetch_refused()


def test_this_machines_needs_are_installed_packages() -> None:
    here = distribution()
    if isinstance(here, Unknown):
        assert here.missing() == []
        return
    assert {need for need in NEEDS if here.package(need) in here.missing()} == set()


def test_no_other_room_names_an_installer() -> None:
    for path in (ROOT / "qtrace").rglob("*.py"):
        if path.parent.name != "distribution" and "apt-get" in path.read_text():
            raise AssertionError(f"{path} names apt-get: ask distribution().hint(…)")
