"""`qtrace symbols` lists what it found first; what is not in the binary is one count a file."""

from __future__ import annotations

import pytest

from qtrace.cli.symbols import list_symbols
from qtrace.model import Symbol

FOUND = [
    Symbol("absent", "hw/net/a.c", 0, 0, "not found", "nothing tells it"),
    Symbol("first", "hw/net/a.c", 0x1000, 0x1000, "table", "a_ops at 0x9000"),
    Symbol("inlined", "hw/net/a.c", 0, 0, "inlined", "into first"),
    Symbol("missing", "hw/net/b.c", 0, 0, "not found", "nothing tells it"),
    Symbol("second", "net/c.c", 0x2000, 0x2000, "dynsym", ""),
]


def test_what_is_not_there_is_one_count_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    list_symbols(FOUND, everything=False)
    said = capsys.readouterr()
    lines = [line.split() for line in said.out.splitlines()]
    assert [line[0] for line in lines] == ["0x1000", "0x2000", "-", "-"]
    assert lines[2][1:] == ["2", "of", "hw/net/a.c:", "1", "not", "found,", "1", "inlined"]
    assert lines[3][1:] == ["1", "of", "hw/net/b.c:", "1", "not", "found"]
    assert "--all" in said.err


def test_all_lists_each_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    list_symbols(FOUND, everything=True)
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert len(lines) == len(FOUND)
    assert [line.split()[0] for line in lines] == ["0x1000", "0x2000", "-", "-", "-"]
    assert "absent" in lines[2] and "nothing tells it" in lines[2]
    assert "2 not found" in said.err and "--all" not in said.err
