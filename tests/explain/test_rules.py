"""A rule finds its wrong line and passes over the right one; a mended line is taken; one file is enough."""

from __future__ import annotations

import shlex
from copy import copy
from pathlib import Path
from typing import Any

import pytest
from rule_lines import LINES, Lines
from test_explain import run

import qtrace.explain.rules as folder
from qtrace.errors import RefusedLine
from qtrace.explain.explanation import Reader
from qtrace.explain.host import Host
from qtrace.explain.pasted import read_text
from qtrace.explain.rule import Page, rules
from qtrace.store.index import Index

CASES = [(name, lines) for name, cases in LINES.items() for lines in cases]
IDS = [f"{name}: {lines.words}" for name, lines in CASES]


def findings(reader: Reader, lines: Lines, text: str, folder: Path) -> list[dict[str, Any]]:
    """What the rules say of a line on the host of the case."""
    for name, content in lines.host.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    pasted = read_text(f"{lines.program} {text}")
    there = copy(reader)
    there.host = Host(folder)
    found: list[dict[str, Any]] = there.explain(pasted.words, opened=pasted.opened)["warnings"]
    return found


@pytest.mark.parametrize(("name", "lines"), CASES, ids=IDS)
def test_a_rule_finds_its_wrong_line_only(
    request: pytest.FixtureRequest, reader: Reader, name: str, lines: Lines, tmp_path: Path
) -> None:
    if lines.release:
        reader = Reader(request.getfixturevalue(lines.release))
    found = [row for row in findings(reader, lines, lines.wrong, tmp_path) if row["kind"] == name]
    assert [row for row in found if lines.words in row["text"]], found
    right = [row for row in findings(reader, lines, lines.right, tmp_path) if row["kind"] == name]
    assert not [row for row in right if lines.words in row["text"]], right


@pytest.mark.parametrize(
    ("name", "lines"),
    [case for case in CASES if case[1].mended],
    ids=[key for key, case in zip(IDS, CASES, strict=True) if case[1].mended],
)
def test_a_mended_line_is_read_and_finds_no_more(
    request: pytest.FixtureRequest, reader: Reader, name: str, lines: Lines, tmp_path: Path
) -> None:
    if lines.release:
        reader = Reader(request.getfixturevalue(lines.release))
    (row,) = [
        row
        for row in findings(reader, lines, lines.wrong, tmp_path)
        if row["kind"] == name and lines.words in row["text"]
    ]
    mended = shlex.join(row["mended"])
    assert lines.mended in mended.replace("'", "")
    again = findings(reader, lines, mended.partition(" ")[2], tmp_path)
    assert not [other for other in again if (other["kind"], other["about"]) == (name, row["about"])]


def test_every_rule_has_its_lines() -> None:
    assert {rule.name for rule in rules()} == set(LINES)


def test_every_rule_says_on_whose_word(earlier: Index, newer: Index) -> None:
    roots = [Path(found.meta["root"]) for found in (earlier, newer)]
    for rule in rules():
        assert rule.looks_for.endswith(".") and rule.severity in ("wrong", "dear", "note"), rule.name
        places = [rule.word.place(root) for root in roots]
        assert isinstance(rule.word, Page) or any(":" in place for place in places), (rule.name, places)


def test_a_word_is_found_where_its_file_has_moved(earlier: Index, newer: Index) -> None:
    (sandbox,) = [rule.word for rule in rules() if rule.name == "sandbox"]
    places = [sandbox.place(Path(found.meta["root"])).split(":")[0] for found in (earlier, newer)]
    assert places == ["softmmu/qemu-seccomp.c", "system/qemu-seccomp.c"]


def test_a_new_rule_is_one_file(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_today.py").write_text(
        '"""A NIC that is an e1000."""\n'
        "from qtrace.explain.rule import Finding, Tree\n"
        'SEVERITY = "dear"\nWORD = Tree("hw/net/e1000.c", "e1000_receive_iov(")\n'
        "def look(seen):\n"
        "    return (Finding(nic.name, 'this is an e1000') for nic in seen.network.nics if nic.type == "
        "'e1000')\n"
    )
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    said = run(index, "--", "qemu-system-x86_64 -nic user").output
    assert "dear: e1000.0: this is an e1000  [hw/net/e1000.c:" in said
    assert "A NIC that is an e1000." in run(index, "--rules").output


def test_what_a_vhost_that_is_not_there_brings(earlier: Index, newer: Index, tmp_path: Path) -> None:
    """The one release aborts and the next refuses: read out of their own functions (tried: test_faults)."""
    line = ["qemu-system-x86_64", "-netdev", "tap,id=t,vhost=on", "-device", "virtio-net-pci,netdev=t"]
    said = [
        next(row for row in Reader(index, Host(tmp_path)).explain(line)["warnings"] if row["kind"] == kind)
        for index, kind in ((earlier, "vhost-missing"), (newer, "vhost-missing"))
    ]
    assert "failed assertion (net_client_init1)" in said[0]["text"] and "refuses" in said[1]["text"]


def test_a_transmit_ring_is_refused_where_the_release_refuses_it(newer: Index) -> None:
    line = "qemu-system-x86_64 -netdev user,id=t -device virtio-net-pci,netdev=t,tx_queue_size=1024"
    with pytest.raises(RefusedLine, match="256 at most"):
        Reader(newer).explain(line.split())
