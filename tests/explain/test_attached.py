"""What `record` follows: NIC and back end are read from command lines as people and libvirt write them."""

import pytest

from qtrace.errors import TargetError
from qtrace.explain.attached import Attached, accelerator_of, attached_nics
from qtrace.explain.explanation import Reader


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-netdev tap,id=n0 -device virtio-net-pci,netdev=n0", [("virtio-net-pci", "tap", "n0", False)]),
        (
            "-netdev tap,id=n0,fd=3,vhost=on,vhostfd=4 -device virtio-net-pci,netdev=n0",
            [("virtio-net-pci", "tap", "n0", True)],
        ),
        ("--netdev user,id=a --device e1000,netdev=a", [("e1000", "user", "a", False)]),
        ("-nic tap,model=virtio,vhost=on", [("virtio-net-pci", "tap", "", True)]),
        (
            "-netdev tap,id=n0,fd=3,vhostfd=4 -device virtio-net-pci,netdev=n0",
            [("virtio-net-pci", "tap", "n0", True)],
        ),
        (
            "-netdev tap,id=n0,vhost=off,vhostforce=on -device virtio-net-pci,netdev=n0",
            [("virtio-net-pci", "tap", "n0", False)],
        ),
        (
            "-netdev tap,id=n0,vhostforce=on -device virtio-net-pci,netdev=n0",
            [("virtio-net-pci", "tap", "n0", True)],
        ),
        ("-nic user", [("e1000", "user", "", False)]),
        ("-M q35 -nic user", [("e1000e", "user", "", False)]),
        ("-nic none", []),
        ("-nodefaults", []),
        ("-m 1G", [("e1000", "user", "hub0", False)]),
        ("-netdev user,id=a", []),
        (
            "-netdev user,id=a -netdev tap,id=b -device e1000,netdev=b -device rtl8139,netdev=a",
            [("e1000", "tap", "b", False), ("rtl8139", "user", "a", False)],
        ),
        (
            '-netdev {"type":"tap","id":"h","vhost":true} -device {"driver":"virtio-net-pci","netdev":"h"}',
            [("virtio-net-pci", "tap", "h", True)],
        ),
        # Another release's, or a distributor's own: it runs, so it is no mistake.
        (
            "-id 9 -M made-up -netdev user,id=a,new=1 -device nic9,netdev=a,x=y",
            [("nic9", "user", "a", False)],
        ),
        # What QEMU itself took is no conflict, whatever is thought of its slots here.
        (
            "-nodefaults -netdev user,id=a -device e1000,netdev=a,addr=1,bus=made.up -device rtl8139,addr=1",
            [("e1000", "user", "a", False)],
        ),
    ],
)
def test_pairs(reader: Reader, line: str, expected: list[tuple[str, str, str, bool]]) -> None:
    found = attached_nics(reader, ["qemu", *line.split()])
    assert [(nic.nic, nic.netdev, nic.id, nic.vhost) for nic in found] == expected


def test_what_cannot_run_is_said(reader: Reader) -> None:
    with pytest.raises(TargetError, match="no identifier"):
        attached_nics(reader, ["qemu", "-netdev", "user,id=a,,b"])


def test_a_hub_is_said(reader: Reader) -> None:
    (found,) = attached_nics(reader, ["qemu", "-net", "nic,model=rtl8139", "-net", "user"])
    assert found == Attached("rtl8139", "user", "hub0", hub=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("qemu -enable-kvm", "kvm"),
        ("qemu -accel kvm", "kvm"),
        ("qemu -accel tcg,thread=multi", "tcg"),
        ("qemu -machine q35,accel=kvm:tcg", "kvm"),
        ("qemu", "tcg"),
    ],
)
def test_accelerator(line: str, expected: str) -> None:
    assert accelerator_of(line.split()) == expected
