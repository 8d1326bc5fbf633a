"""A report of two QEMUs: they are compared in one section, and nothing else has numbers of both."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from made_up import FRAMES, fill, make_run, way

from qtrace.analyses.methods.data import qemu_of
from qtrace.errors import StoreError
from qtrace.model import Cell, Direction, Setting
from qtrace.model import Path as Way
from qtrace.report.answers import Answers
from qtrace.report.document import Document
from qtrace.report.excerpt import Excerpt
from qtrace.report.formats.markdown import to_markdown
from qtrace.report.measured import measured
from qtrace.report.render import build
from qtrace.report.sections import overview
from qtrace.store.run import RunReader, RunWriter

RELEASES = {"7.2": "7.2.22", "10.0": "10.0.13"}
REPETITIONS = 3


def path_in(qemu: str, netdev: str) -> Way:
    return replace(way("e1000", netdev, "qemu", Direction.TX), qemu=qemu)


@pytest.fixture(name="run", scope="module")
def _run(tmp_path_factory: pytest.TempPathFactory) -> RunReader:
    """Both measure the same; 10.0 has one repetition more."""
    tmp_path = tmp_path_factory.mktemp("qemus")
    head = json.loads((make_run(tmp_path / "one", 1) / "run.json").read_text())
    kept = {name: head[name] for name in ("qtrace", "command", "venue", "venue_reason", "plan")}
    conditions = {f"QEMU {name}": release for name, release in RELEASES.items()} | {"accelerator": "none"}
    paths = [path_in(qemu, netdev).to_json() for qemu in RELEASES for netdev in ("tap", "user")]
    with RunWriter.create(tmp_path / "run", {**kept, "conditions": conditions, "paths": paths}) as writer:
        for qemu in RELEASES:
            for netdev in ("tap", "user"):
                cell = Cell("e1000", netdev, "qemu", Direction.TX, "tcp", Setting(qemu=qemu))
                for rep in range(1, REPETITIONS + 1 + (qemu == "10.0")):
                    for probed in (False, True):
                        fill(_Noting(writer, RELEASES[qemu]), cell, rep, probed)  # type: ignore[arg-type]
    return RunReader.open(tmp_path / "run")


class _Noting:
    """Writes the release into each result, as a campaign does."""

    def __init__(self, writer: RunWriter, release: str) -> None:
        self._writer, self._release = writer, release

    def add(self, cell: str, rep: int, probed: bool, tables: dict[str, list[dict[str, object]]],
            raw: dict[str, object]) -> None:  # fmt: skip
        tables["results"] = [row | {"qemu": self._release} for row in tables["results"]]
        self._writer.add(cell, rep, probed, tables, raw)


@pytest.fixture(name="document", scope="module")
def _document(run: RunReader) -> Document:
    return build(run)


def test_each_row_of_the_results_has_its_release(run: RunReader) -> None:
    rows = run.table("results").to_pylist()
    assert {(row["cell"].rpartition("+qemu-")[2], row["qemu"]) for row in rows} == set(RELEASES.items())


def test_the_section_has_each_cell_with_a_verdict(document: Document) -> None:
    (section,) = (section for section in document.sections if section.name == "qemus")
    (table,) = section.tables
    assert table.title == "QEMU 10.0 against 7.2"
    assert [(row[1], row[2], row[6], row[8], row[9]) for row in table.rows] == [
        ("tap", "tcp tx", "1.00 ×", "3", "same"),
        ("user", "tcp tx", "1.00 ×", "3", "same"),
    ]
    assert "QEMU 10.0 against 7.2, the same cells in both: 2 same." in document.headline
    assert "QEMU 7.2: 7.2.22, QEMU 10.0: 10.0.13" in document.subtitle


def test_nothing_else_has_numbers_of_both(document: Document) -> None:
    (maps,) = (section for section in document.sections if section.name == "heat-maps")
    (figure,) = maps.figures
    for qemu in RELEASES:
        assert f"tcp qemu-{qemu}, tx" in figure.svg
    (paths,) = (section for section in document.sections if section.name == "paths")
    assert len({figure.name for figure in paths.figures}) == len(paths.figures) == 4
    for figure in paths.figures:
        qemu = next(name for name in RELEASES if f"QEMU {name}, tx" in figure.text)
        assert f"{(REPETITIONS + (qemu == '10.0')) * FRAMES:,} frames" in figure.text
    whole = to_markdown(document)
    assert "tcp qemu-7.2" in whole and "tcp qemu-10.0" in whole
    for line in whole.splitlines():
        both = all(f"qemu-{qemu}" in line for qemu in RELEASES)
        assert not both or "Probing" in line or "plan:" in line, line


def test_an_excerpt_has_a_map_of_each_and_the_paths_of_what_it_shows(run: RunReader) -> None:
    excerpt = Excerpt(Answers(run))
    excerpt.choose(2)  # one block
    assert excerpt.shown == 2
    (qemu,) = {path.qemu for path in excerpt.paths}
    assert {qemu_of(str(row["workload"])) for row in excerpt.ask("stages")} == {qemu}
    assert {path.netdev for path in excerpt.paths} == {"tap", "user"}
    (figure,) = overview.write(excerpt).figures
    for name in RELEASES:
        assert f"tcp, tx, guest to host, QEMU {name}: 1 setting" in figure.svg
    assert len(excerpt.told("qemus")) == 2  # of all cells, as the sentence says


def test_a_walk_shows_what_was_measured_in_its_own_release(run: RunReader) -> None:
    path = replace(path_in("", "tap"), qemu="")
    for qemu, release in RELEASES.items():
        assert measured(run, path, release=release).traffic == f"tcp qemu-{qemu} tx"
    with pytest.raises(StoreError, match=r"measured in QEMU 10\.0\.13, 7\.2\.22; this is .* 9\.2\.1"):
        measured(run, path, release="9.2.1")
