"""Lines as other programs write them: Proxmox's, libvirt's log, a shell's redirections, other boards."""

from __future__ import annotations

import pytest

from qtrace.errors import RefusedLine
from qtrace.explain.dialect import dialects
from qtrace.explain.explanation import Reader
from qtrace.explain.pasted import read_text, split_text
from qtrace.explain.words import PROGRAM

# The forms of proxmox/qemu-server's test lines (src/test/cfg2cmd), reduced.
_PROXMOX = (
    "/usr/bin/kvm -id 9 -nodefaults -device 'pci-bridge,id=pci.1,chassis_nr=1,bus=pci.0,addr=0x1e' "
    "-device 'piix3-usb-uhci,id=uhci,bus=pci.0,addr=0x1.0x2' -netdev 'type=tap,id=net0,ifname=tap9i0,"
    "script=/bridge,downscript=/down,vhost=on' -device 'virtio-net-pci,mac=02:00:00:00:00:01,netdev=net0,"
    "bus=pci.0,addr=0x12,id=net0,rx_queue_size=1024,host_mtu=1500,host_tunnel=off' -machine "
)


@pytest.mark.parametrize(
    ("machine", "known", "name"),
    [
        ("type=pc+pve0", True, "pc"),
        ("hpet=off,type=pc-i440fx-5.1+pve0", True, "pc-i440fx-5.1"),
        ("type=pc-q35-4.1+pve2", True, "pc-q35-4.1"),
        ("type=pc-q35-99.0+pve0", False, "pc-q35-99.0"),
        ("pflash0=a,type=virt+pve0", False, "virt"),
    ],
)
def test_proxmox(reader: Reader, machine: str, known: bool, name: str) -> None:
    data = reader.explain(split_text(_PROXMOX + f"'{machine}'"))
    assert (data["machine"], data["machine_known"], data["dialect"]) == (name, known, "Proxmox")
    assert [(nic["type"], nic["peer"]) for nic in data["nics"]] == [("virtio-net-pci", "net0")]
    assert data["unknown"] == [] and len(data["vendor"]) == 2
    with pytest.raises(RefusedLine, match="'-id' is no option"):
        reader.explain(split_text(_PROXMOX + f"'{machine}'"), strict=True)


@pytest.mark.parametrize(
    ("machine", "vendor"),
    [("pc-q35-rhel9.4.0", "Red Hat"), ("pc-i440fx-jammy", "Ubuntu"), ("pc-q35-noble-v2", "Ubuntu")],
)
def test_machines_of_distributions(reader: Reader, machine: str, vendor: str) -> None:
    data = reader.explain(["/usr/libexec/qemu-kvm", "-machine", f"{machine},usb=off", "-nic", "user"])
    assert data["dialect"] == vendor and data["machine_known"] and data["nics"][0]["mac"]


def test_a_typo_is_no_dialect(reader: Reader) -> None:
    for line in (
        "-nettdev user",
        "-M pc+pve",
        "-netdev user,id=a -device virtio-net-pci,netdev=a,host_tunel=off",
    ):
        with pytest.raises(RefusedLine):
            reader.explain(["kvm", *line.split()])


def test_no_dialect_is_anothers() -> None:
    assert {dialect.name for dialect in dialects()} >= {"proxmox", "redhat", "ubuntu"}
    for machine in ("pc", "q35", "pc-q35-7.2", "pc-i440fx-2.10", "virt", "microvm", "s390-ccw-virtio"):
        assert all(dialect.ordinary(machine) == machine for dialect in dialects())


_LOG = r"""2024-01-02 03:04:05.678+0000: starting up libvirt version: 9.0.0, it's a test, qemu version: 7.2.0
LC_ALL=C \
PATH=/usr/bin \
HOME=/var/lib/libvirt/qemu/domain-1-vm \
XDG_DATA_HOME=/var/lib/libvirt/qemu/domain-1-vm/.local/share \
/usr/bin/qemu-system-x86_64 \
-name guest=vm,debug-threads=on \
-S \
-machine pc-q35-7.2,usb=off,dump-guest-core=off \
-netdev '{"type":"tap","fd":"31","vhost":true,"vhostfd":"33","id":"hostnet0"}' \
-device '{"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0","mac":"52:54:00:00:00:01","addr":"0x9"}' \
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
-msg timestamp=on
char device redirected to /dev/pts/1 (label charserial0)
qemu-system-x86_64: terminating on signal 15 from pid 9 (/usr/sbin/libvirtd)
2024-01-02 04:00:00.000+0000: shutting down, reason=shutdown, it can't say more
"""


def test_libvirts_log(reader: Reader) -> None:
    for log in (_LOG, _LOG.replace('"fd":"31"', '"fd":"30"') + _LOG):
        data = reader.explain(split_text(log))
        assert [nic["name"] for nic in data["nics"]] == ["net0"]
        (netdev,) = data["netdevs"]
        assert {row["name"]: row["value"] for row in netdev["options"]}["fd"] == "31"
        kinds = {row["kind"] for row in data["warnings"]}
        assert "descriptor" in kinds and "sandbox" not in kinds


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("exec 3<>/dev/tap2\nqemu-system-x86_64 -nic tap,fd=3", {3: "/dev/tap2"}),
        (
            "qemu-system-x86_64 -nic tap,fd=3 3<>/dev/tap2 4<>/dev/vhost-net",
            {3: "/dev/tap2", 4: "/dev/vhost-net"},
        ),
        ("qemu-system-x86_64 -smp 2 > log -nic user", {}),
        ("qemu-system-x86_64 -smp 2 -nic user 2>log", {2: "log"}),
    ],
)
def test_what_a_shell_opens(text: str, opened: dict[int, str]) -> None:
    found = read_text(text)
    assert found.opened == opened and any(map(PROGRAM.match, found.words))
    assert "-smp" not in found.words or "2" in found.words


@pytest.mark.parametrize(
    ("line", "nics", "dialect"),
    [
        ("qemu-system-arm -M versatilepb -nic user", ["smc91c111"], None),
        ("qemu-system-aarch64 -M virt -nic user", ["virtio-net-pci"], None),
        ("qemu-system-mips -M malta -net nic -net user", ["pcnet"], None),
        ("qemu-system-ppc64 -M pseries -nic user", ["spapr-vlan"], None),
        ("qemu-system-s390x -M s390-ccw-virtio -nic user", ["virtio-net-ccw"], None),
        ("qemu-system-s390x -netdev user,id=n -device virtio-net,netdev=n", ["virtio-net-ccw"], None),
    ],
)
def test_other_boards(
    reader: Reader, newer_reader: Reader, line: str, nics: list[str], dialect: None
) -> None:
    for release in (reader, newer_reader):
        data = release.explain(line.split())
        assert [nic["type"] for nic in data["nics"]] == nics and data["dialect"] is dialect


def test_libvirts_line_for_s390x(reader: Reader) -> None:
    text = (
        'qemu-system-s390x -machine s390-ccw-virtio,usb=off -netdev \'{"type":"user","id":"hostnet0"}\' '
        '-device \'{"driver":"virtio-net-ccw","netdev":"hostnet0","id":"net0",'
        '"mac":"52:54:00:00:00:01","devno":"fe.0.0001"}\''
    )
    (nic,) = reader.explain(split_text(text))["nics"]
    rows = {row["name"]: row for row in nic["options"]}
    assert nic["type"] == "virtio-net-ccw" and rows["devno"]["file"] == "hw/s390x/ccw-device.c"
    with pytest.raises(RefusedLine, match="no property 'vectors'"):
        reader.explain(split_text(text.replace('"devno"', '"vectors"')))
