"""Derive qtrace/explain/cost.toml anew from the report: python tests/explain/cost_table.py"""

from __future__ import annotations

from pathlib import Path

from qtrace.explain.cost import derive

HERE = Path(__file__).resolve().parents[2]
REPORT = "reports/quick/report.md"
TABLE = HERE / "qtrace" / "explain" / "cost.toml"


def main() -> None:
    TABLE.write_text(derive((HERE / REPORT).read_text(), REPORT))


if __name__ == "__main__":
    main()
