"""`qtrace export --to csv`: the answers of all cells as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from large_run import make_large_run
from made_up import make_run

from qtrace.analyses.methods.registry import analyses
from qtrace.cli.main import command
from qtrace.errors import StoreError
from qtrace.report.answers import WHOLE, Answers
from qtrace.store.run import RunReader, RunWriter


def export(*words: str) -> str:
    said = CliRunner().invoke(command, ["export", *words])
    assert said.exit_code == 0, said.output
    return said.stdout


def test_every_answer_is_a_file(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", repetitions=2)
    said = export(str(run), "--to", "csv", "-o", str(tmp_path / "out"))
    answers = Answers(RunReader.open(run))
    assert {file.stem for file in (tmp_path / "out").iterdir()} == set(analyses())
    for name, analysis in analyses().items():
        found = pd.read_csv(tmp_path / "out" / f"{name}.csv")
        assert list(found.columns) == list(analysis.columns)
        assert len(found) == len(answers.ask(name)) and f"{name}.csv: {len(found):,} rows" in said
    assert not list(tmp_path.glob(".*"))


def test_a_run_that_is_too_large_for_a_page_is_whole_in_its_files(tmp_path: Path) -> None:
    run = make_large_run(tmp_path / "run", WHOLE + 8)
    answers = Answers(RunReader.open(run))
    export(str(run), "--to", "csv", "-o", str(tmp_path / "out"))
    for name in analyses():
        found = pd.read_csv(tmp_path / "out" / f"{name}.csv")
        asked = pd.DataFrame(list(answers.ask(name)), columns=list(found.columns))
        assert len(found) == len(asked), name
        names = [column for column in found.columns if not pd.api.types.is_numeric_dtype(found[column])]
        numbers = [column for column in ("mean", "ratio", "times", "calls", "count") if column in found]
        one, two = (
            frame.fillna(dict.fromkeys(names, ""))
            .sort_values(
                [*names, *numbers], key=lambda column: column.astype(str if column.name in names else float)
            )
            .reset_index(drop=True)
            for frame in (found, asked)
        )
        assert one[names].astype(str).equals(two[names].astype(str)), name
        assert np.allclose(one[numbers].astype(float), two[numbers].astype(float), equal_nan=True), name


def test_a_name_from_a_guest_is_no_formula(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", repetitions=1)
    ledger = {"kind": "lost", "item": "=HYPERLINK(1)\n", "count": 1, "note": "a, b"}
    writer = RunWriter(run, RunReader.open(run).meta)
    writer.add("e1000+tap+qemu+tx+tcp", 9, True, {"ledger": [ledger]})
    export(str(run), "--to", "csv", "--only", "ledger", "-o", str(tmp_path / "out"))
    found = pd.read_csv(tmp_path / "out/ledger.csv")
    assert "'=HYPERLINK(1) " in set(found["item"]) and "a, b" in set(found["note"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "csv", "--only", "nothing"], "there is no analysis"),
        (["--to", "pcapng", "--only", "cpu"], "--only needs --to csv"),
    ],
)
def test_a_wrong_request_is_refused(words: list[str], said: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", repetitions=1)
    done = CliRunner().invoke(command, ["export", str(run), *words, "-o", str(tmp_path / "out")])
    assert done.exit_code and said in done.output and not (tmp_path / "out").exists()


def test_an_old_folder_is_never_overwritten(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", repetitions=1)
    (tmp_path / "out").mkdir()
    done = CliRunner().invoke(command, ["export", str(run), "--to", "csv", "-o", str(tmp_path / "out")])
    assert isinstance(done.exception, StoreError) and "exists already" in str(done.exception)
    assert not list((tmp_path / "out").iterdir())
