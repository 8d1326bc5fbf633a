"""What a rule calls wrong because QEMU ends at it, QEMU ends at: tried, in both releases."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from witness import Release, Witnesses

pytestmark = pytest.mark.needs("qemu-system-x86_64", "unshare", "setpriv")
_TAP = "-netdev tap,id=t,script=no,downscript=no"
_SCRIPT = "-netdev tap,id=t,script=/bin/true,downscript=no"
_VIRTIO = " -device virtio-net-pci,netdev=t"
_LISTEN = "-netdev socket,id=a,listen=127.0.0.1:1234 -netdev socket,id=b,listen=:"
_STANDBY = "-netdev user,id=t -device virtio-net-pci,netdev=t,id=n,failover=on -device virtio-net-pci,"
NEEDS = {"tun": "/dev/net/tun"}


@pytest.mark.parametrize(
    ("kind", "wrong", "right", "needs"),
    [
        ("vhost-missing", _TAP + ",vhost=on" + _VIRTIO, _TAP + ",vhost=off" + _VIRTIO, "tun"),
        ("sandbox", "-sandbox on,spawn=deny " + _SCRIPT + _VIRTIO, "-sandbox on " + _SCRIPT + _VIRTIO, "tun"),
        ("port-twice", _LISTEN + "1234", _LISTEN + "1235", ""),
        ("failover", _STANDBY + "failover_pair_id=n", _STANDBY + "id=p,failover_pair_id=n", ""),
    ],
)
def test_qemu_ends_at_it(
    release: Release, witnesses: Witnesses, kind: str, wrong: str, right: str, needs: str
) -> None:
    if needs and not Path(NEEDS[needs]).exists():
        pytest.skip(f"{NEEDS[needs]} is not there")
    if kind == "vhost-missing" and Path("/dev/vhost-net").exists():
        pytest.skip("this host has a /dev/vhost-net")
    asked = [witnesses.ask(release, line, needs) for line in (wrong, right)]
    for line, answer, ends in zip((wrong, right), asked, (True, False), strict=True):
        found = release.reader.explain(["qemu-system-x86_64", *shlex.split(line)])["warnings"]
        said = [row for row in found if (row["kind"], row["severity"]) == (kind, "wrong")]
        assert bool(said) == ends and bool(answer.result().refused) == ends, (line, answer.result())
    if kind == "vhost-missing":
        (row,) = [
            row
            for row in release.reader.explain(["qemu-system-x86_64", *wrong.split()])["warnings"]
            if row["kind"] == kind
        ]
        assert ("Assertion" in asked[0].result().refused) == ("aborts" in row["text"])
