"""An instrument is found in its folder, and is the same on every floor."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from click.testing import CliRunner

from qtrace.cli.main import command
from qtrace.measure.instrument_registry import instruments
from qtrace.probes import families

ROOT = Path(__file__).parent.parent.parent


def test_each_is_found_with_its_programs() -> None:
    found = instruments()
    assert len(found) >= 4
    for name, entry in found.items():
        assert entry.family.name == name == entry.source.name.removeprefix("probes/")
        text = entry.source.file.read_text()
        assert all(
            f"int {program}(" in text for point in entry.family.points for _, program in point.programs
        )


def test_the_probes_verb_lists_them_among_the_families() -> None:
    said = CliRunner().invoke(command, ["probes", "--format", "json"], catch_exceptions=False)
    listed = [row["name"] for row in json.loads(said.stdout)]
    assert listed == sorted({*instruments(), *(family.name for family in families() if family.points)})


def test_every_map_that_a_family_names_is_declared_beside_it() -> None:
    probes = ROOT / "probes"
    for family in [*families(), *(entry.family for entry in instruments().values())]:
        text = (probes / f"{family.name}.bpf.c").read_text()
        for table in (*family.tables, *family.memories):
            assert f"({table}," in text, (family.name, table)


def test_the_tracer_names_none() -> None:
    """Neither an instrument nor one of its maps stands in the tracer's room."""
    names = {*instruments()}
    for entry in instruments().values():
        names |= {*entry.family.tables, *entry.family.memories}
    for path in (ROOT / "qtrace/trace").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in names, path
            assert not (isinstance(node, ast.Name) and node.id in names), path
