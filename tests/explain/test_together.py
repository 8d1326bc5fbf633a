"""Two lines of one host: what only one may have, and ends that do not meet."""

from __future__ import annotations

import pytest
from test_explain import run

from qtrace.explain.explanation import Reader
from qtrace.explain.pasted import read_text
from qtrace.store.index import Index

_NIC = " -device e1000,netdev=s,mac=52:54:00:00:00:0"
_UDP = "-netdev socket,id=s,udp=127.0.0.1:{},localaddr=127.0.0.1:{}" + _NIC
_DGRAM = "-netdev dgram,id=s,local.type=unix,local.path={},remote.type=unix,remote.path={}" + _NIC
_STREAM = "-netdev stream,id=s,server={},addr.type=inet,addr.host=127.0.0.1,addr.port={}" + _NIC


@pytest.mark.parametrize(
    ("one", "two", "kinds"),
    [
        (_UDP.format(1, 2) + "1", _UDP.format(2, 1) + "2", set()),
        (_UDP.format(1, 2) + "1", _UDP.format(2, 3) + "2", {"ends-apart"}),
        (_UDP.format(1, 2) + "1", _UDP.format(3, 1) + "2", {"ends-apart"}),
        (_UDP.format(1, 2) + "1", _UDP.format(2, 1) + "1", {"same-mac"}),
        (_DGRAM.format("a", "b") + "1", _DGRAM.format("b", "a") + "2", set()),
        (_DGRAM.format("a", "b") + "1", _DGRAM.format("c", "a") + "2", {"ends-apart"}),
        (_STREAM.format("on", 7) + "1", _STREAM.format("off", 7) + "2", set()),
        (_STREAM.format("off", 8) + "1", _STREAM.format("on", 7) + "2", {"ends-apart"}),
        (_STREAM.format("on", 7) + "1", _STREAM.format("on", 7) + "2", {"same-port"}),
        (
            "-netdev socket,id=s,listen=:7" + _NIC + "1",
            "-netdev socket,id=s,connect=127.0.0.1:7" + _NIC + "2",
            set(),
        ),
        (
            "-netdev socket,id=s,mcast=230.0.0.1:7" + _NIC + "1",
            "-netdev socket,id=s,mcast=230.0.0.1:8" + _NIC + "2",
            {"ends-apart"},
        ),
        (
            "-netdev user,id=s,hostfwd=tcp:127.0.0.1:7-:22" + _NIC + "1",
            "-netdev user,id=s,hostfwd=tcp::7-:22" + _NIC + "2",
            {"same-port"},
        ),
        (
            "-netdev user,id=s,hostfwd=udp::7-:22" + _NIC + "1",
            "-netdev user,id=s,hostfwd=tcp::7-:22" + _NIC + "2",
            set(),
        ),
        ("-nic tap,ifname=tap0,mac=52:54:00:00:00:01", "-nic tap,ifname=tap0", {"same-tap"}),
        ("-nic user", "-nic user", {"same-mac"}),
    ],
)
def test_two_lines(reader: Reader, one: str, two: str, kinds: set[str]) -> None:
    for first, second in ((one, two), (two, one)):
        found = reader.together(read_text(f"qemu {first}"), read_text(f"qemu {second}"))
        assert {item["kind"] for item in found} == kinds, found


def test_the_verb_says_it(index: Index) -> None:
    one, two = (
        "qemu-system-x86_64 " + _UDP.format(1, 2) + "1",
        "qemu-system-x86_64 " + _UDP.format(2, 3) + "2",
    )
    said = run(index, "--with", two, "--", one)
    assert said.exit_code == 0 and "they do not meet" in said.output
    assert "no ends apart" in run(index, "--with", _UDP.format(2, 1) + "2", "--", one).output


def test_each_line_may_be_a_program_s_log(index: Index) -> None:
    """Podman's QEMU has an option that this index does not know: its log alone says that it is a vendor's."""
    log = "DEBU[0001] qemu cmd: [qemu-system-x86_64 -apple-gpu -nic user,mac=52:54:00:12:34:56]"
    plain = "qemu-system-x86_64 -nic user"
    for one, two in ((log, plain), (plain, log), (log, log)):
        said = run(index, "--with", two, "--", one)
        assert said.exit_code == 0, said.output
        assert "has the MAC address 52:54:00:12:34:56, too" in said.output
    refused = run(index, "--with", log, "--strict", "--", plain)
    assert refused.exit_code == 1 and "apple-gpu" in str(refused.exception)
