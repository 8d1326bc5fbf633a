"""`qtrace compare` at the terminal: its words, its exit statuses (rows are made up)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qtrace.cli.main import command
from qtrace.store.run import RunWriter

TAP, USER = "e1000+tap+qemu+tx+tcp", "e1000+user+qemu+tx+tcp"


def written(path: Path, tap: float, *, venue: str = "host", conditions: dict[str, str] | None = None) -> Path:
    meta = {"venue": venue, "conditions": conditions or {}, "paths": []}
    with RunWriter.create(path, meta) as writer:
        for rep, noise in enumerate((0.999, 1.0, 1.001), 1):
            for cell, rate in ((TAP, tap), (USER, 1e8)):
                row = {"metric": "throughput", "value": rate * noise, "unit": "bit/s", "status": "ok"}
                writer.add(cell, rep, False, {"results": [row]})
    return path


def compare(*words: object) -> Result:
    return CliRunner().invoke(command, ["compare", *map(str, words)])


def test_the_slower_cell_comes_first_with_both_values(tmp_path: Path) -> None:
    first = written(tmp_path / "a", 4e8, conditions={"QEMU": "7.2.22", "kernel": "6.1"})
    second = written(tmp_path / "b", 3e8, conditions={"QEMU": "10.0.13", "kernel": "6.1"})
    said = compare(first, second)
    lines = said.stdout.splitlines()
    assert said.exit_code == 0
    assert lines[0] == f"{second} against {first}: 1 slower, 1 same (within 2.0 %)."
    assert lines[1] == "  QEMU: 7.2.22 → 10.0.13" and not lines[2].startswith("  kernel")
    cells = [" ".join(line.split()) for line in lines[3:]]
    values = "400 Mbit/s (n = 3) 300 Mbit/s (n = 3) 0.750 × 0.748 to 0.752 slower"
    assert cells[0] == f"e1000 tap guest → host tcp throughput {values}"
    assert cells[1].startswith("e1000 user") and cells[1].endswith("same")


@pytest.mark.parametrize(
    ("fail_on", "tap", "status"),
    [
        ("slower", 3e8, 3),
        ("slower", 5e8, 0),
        ("faster", 5e8, 3),
        ("different", 3e8, 3),
        ("different", 4e8, 0),
    ],
)
def test_the_exit_status_is_for_ci(fail_on: str, tap: float, status: int, tmp_path: Path) -> None:
    first, second = written(tmp_path / "a", 4e8), written(tmp_path / "b", tap)
    assert compare("--fail-on", fail_on, first, second).exit_code == status


def test_json_holds_the_same(tmp_path: Path) -> None:
    said = compare("--format", "json", written(tmp_path / "a", 4e8), written(tmp_path / "b", 3e8))
    (found,) = json.loads(said.stdout)
    assert found["counts"] == {"slower": 1, "faster": 0, "same": 1, "not known": 0}
    assert {row["netdev"]: row["verdict"] for row in found["rows"]} == {"tap": "slower", "user": "same"}


def test_markdown_keeps_a_hostile_name_as_text(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a|<b>", 4e8), written(tmp_path / "b", 4e8)
    said = compare("--format", "md", first, second).stdout
    assert "a\\|\\<b\\>" in said and "| e1000 | tap |" in said


def test_a_run_that_has_not_ended_says_so(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a", 4e8), written(tmp_path / "b", 4e8)
    meta = json.loads((second / "run.json").read_text())
    (second / "run.json").write_text(json.dumps(meta | {"status": "interrupted"}))
    assert f"  {second} is interrupted: only its measurements so far" in compare(first, second).stdout


def test_runs_that_cannot_be_compared_end_with_one_message(tmp_path: Path) -> None:
    first, other = written(tmp_path / "a", 4e8), written(tmp_path / "b", 4e8, venue="vm")
    for words, message in (
        ((first,), "two runs or more"),
        ((first, tmp_path), "is not a run"),
        ((first, other), "different venues"),
        ((first, first, "--margin", "0"), "not a percentage"),
        ((first, first, "--metric", "speed"), "no metric 'speed'"),
    ):
        said = compare(*words)
        assert said.exit_code in (1, 2) and message in str(said.exception) + said.stderr
