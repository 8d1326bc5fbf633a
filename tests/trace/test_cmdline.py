"""NIC and netdev are read from command lines as people and libvirt write them."""

import pytest

from qtrace.trace.cmdline import Attached, accelerator_of, attached_nics


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("qemu -netdev tap,id=n0 -device virtio-net-pci,netdev=n0", [("virtio-net-pci", "tap", "n0", False)]),
        (
            "qemu -netdev tap,id=n0,fd=3,vhost=on,vhostfd=4 -device virtio-net-pci,netdev=n0,mac=1",
            [("virtio-net-pci", "tap", "n0", True)],
        ),
        ("qemu --netdev user,id=a --device e1000,netdev=a", [("e1000", "user", "a", False)]),
        ("qemu -nic tap,model=virtio,vhost=on", [("virtio-net-pci", "tap", "", True)]),
        (
            "qemu -netdev tap,id=n0,fd=3,vhostfd=4 -device virtio-net-pci,netdev=n0",
            [("virtio-net-pci", "tap", "n0", True)],
        ),
        (
            "qemu -netdev tap,id=n0,vhost=off,vhostforce=on -device virtio-net-pci,netdev=n0",
            [("virtio-net-pci", "tap", "n0", False)],
        ),
        ("qemu -nic user", [("e1000", "user", "", False)]),
        ("qemu -nic none", []),
        ("qemu -nodefaults", []),
        ("qemu -m 1G", [("e1000", "user", "default", False)]),
        ("qemu -netdev user,id=a", []),
        (
            "qemu -netdev user,id=a -netdev tap,id=b -device e1000,netdev=b -device rtl8139,netdev=a",
            [("e1000", "tap", "b", False), ("rtl8139", "user", "a", False)],
        ),
        (
            'qemu -netdev {"type":"tap","id":"h","vhost":true} -device {"driver":"e1000","netdev":"h"}',
            [("e1000", "tap", "h", True)],
        ),
        ("qemu -nodefaults -device virtio-net-pci,netdev=gone", []),
        ("qemu -netdev {broken -device x", []),
    ],
)
def test_pairs(line: str, expected: list[tuple[str, str, str, bool]]) -> None:
    assert [(nic.nic, nic.netdev, nic.id, nic.vhost) for nic in attached_nics(line.split())] == expected


def test_a_comma_in_a_value_does_not_end_it() -> None:
    argv = ["qemu", "-netdev", "user,id=a,,b,tftp=/x,,y", "-device", "e1000,netdev=a,,b"]
    assert [nic.id for nic in attached_nics(argv)] == ["a,b"]


def test_a_hub_is_said() -> None:
    (found,) = attached_nics(["qemu", "-net", "nic,model=rtl8139", "-net", "user"])
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
