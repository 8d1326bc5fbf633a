"""qtrace/atlas/reach_tried.toml: the tables of docs/reachability.md, which `make reach` measured."""

from __future__ import annotations

import json
import re

from write import ROOT

PAGE = "qtrace/atlas/reach_tried.toml"
_FROM = ROOT / "docs" / "reachability.md"
_BLOCK = re.compile(r"^<!-- (?:host|vm) -->\n(.*?)^<!-- end -->", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| ([\w-]+) \| (.*) \|$", re.MULTILINE)
_KEYS = ("start", "setup", "vm_to_host", "host_to_vm", "vm_to_vm", "vm_to_net", "net_to_vm")


def text() -> str:
    lines = ["# Derived from docs/reachability.md by tests/generated/reach_tried.py: do not edit.", ""]
    for block in _BLOCK.findall(_FROM.read_text()):
        conditions = re.search(r"^QEMU .*$", block, re.MULTILINE)
        assert conditions
        for mode, cells in _ROW.findall(block.partition("\n### ")[0]):
            if mode in ("mode", "---"):
                continue
            values = [cell.strip() for cell in cells.split(" | ")]
            lines += ["[[row]]", f"mode = {json.dumps(mode)}", f"in = {json.dumps(conditions[0])}"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in zip(_KEYS, values, strict=True)]
            lines.append("")
    return "\n".join(lines)
