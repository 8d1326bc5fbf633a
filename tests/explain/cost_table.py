"""Derive qtrace/explain/cost.toml anew from the report: python tests/explain/cost_table.py"""

from __future__ import annotations

import re
from pathlib import Path

from qtrace.explain.cost import TABLES

HERE = Path(__file__).resolve().parents[2]
REPORT = "reports/quick/report.md"
TABLE = HERE / "qtrace" / "explain" / "cost.toml"
_NAMES = {"of tap": "ratio", "p50 of tap": "ratio", "back end": "netdev", "NIC": "nic"}
_CONDITIONS = ("venue", "accelerator", "CPU", "QEMU", "kernel", "repetitions")


def derive(text: str, report: str) -> str:
    """cost.toml of a report's Markdown: cells are copied word for word."""
    lines = ["# Derived from " + report + " by tests/explain/cost_table.py: do not edit.", ""]
    run = re.search(r"^Run ([\w.-]+),", text, re.MULTILINE)
    lines += [f"report = {_quoted(report)}", f"run = {_quoted(run[1] if run else '')}", "", "[conditions]"]
    for name, value in re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", text, re.MULTILINE):
        if name in _CONDITIONS:
            lines.append(f"{_quoted(name)} = {_quoted(value)}")
    for title, table in TABLES.items():
        section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        rows = [line.strip("|").split("|") for line in section.split("\n") if line.startswith("|")]
        if len(rows) < 2:
            continue
        heads = _heads([cell.strip() for cell in rows[0]])
        for row in rows[2:]:
            lines += ["", f"[[{table}]]"]
            for head, cell in zip(heads, row, strict=True):
                if head == "traffic":  # `tcp tx`
                    head, cell = "direction", cell.split()[-1]
                lines.append(f"{_quoted(head)} = {_quoted(cell.strip())}")
    return "\n".join(lines) + "\n"


def _heads(cells: list[str]) -> list[str]:
    """Names of columns; an interval is named after what it is of."""
    found: list[str] = []
    for cell in cells:
        found.append(f"{found[-1]} interval" if cell.endswith("interval") else _NAMES.get(cell, cell))
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def main() -> None:
    TABLE.write_text(derive((HERE / REPORT).read_text(), REPORT))


if __name__ == "__main__":
    main()
