"""Reports of large runs: all cells are counted, the most telling are shown, time and memory stay bounded."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from large_run import cells_of, make_large_run, ratio_of
from made_up import make_run

from qtrace.analyses.methods.data import CELL, cell_parts
from qtrace.report.answers import WHOLE, Answers
from qtrace.report.document import Document, Section
from qtrace.report.excerpt import SHOWN, Excerpt
from qtrace.report.formats.html import to_html
from qtrace.report.render import LARGEST, build
from qtrace.store.run import RunReader, RunWriter
from qtrace.store.run_merge import merge_runs

# Renders a report as a process of its own: its processor time (s), its peak of memory (MB), its page (bytes).
_CHILD = """
import json, resource, sys, time
from pathlib import Path
from qtrace.report.contents import contents
from qtrace.report.render import render
from qtrace.store.run import RunReader
contents()
begun = time.process_time()
render(RunReader.open(Path(sys.argv[1])), Path(sys.argv[2]))
used = resource.getrusage(resource.RUSAGE_SELF)
page = (Path(sys.argv[2]) / "report.html").stat().st_size
print(json.dumps({"seconds": time.process_time() - begun, "peak": used.ru_maxrss / 1024, "page": page}))
"""
_NUMBER = 4 * (WHOLE + 10)
_SAMPLE = 12


def rendered(run: Path, out: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(run), str(out)], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_large_run(tmp_path_factory.mktemp("large") / "run", _NUMBER)


@pytest.fixture(scope="module")
def quarter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_large_run(tmp_path_factory.mktemp("quarter") / "run", _NUMBER // 4)


@pytest.fixture(scope="module")
def answers(large: Path) -> Answers:
    return Answers(RunReader.open(large))


@pytest.fixture(scope="module")
def document(large: Path) -> Document:
    return build(RunReader.open(large))


def section(document: Document, name: str) -> Section:
    (found,) = (one for one in document.sections if one.name == name)
    return found


def test_four_times_the_cells_take_less_than_six_times_the_time(
    large: Path, quarter: Path, tmp_path: Path
) -> None:
    small, big = rendered(quarter, tmp_path / "small"), rendered(large, tmp_path / "big")
    assert big["seconds"] < 6 * small["seconds"]
    assert big["peak"] < min(1000, 2 * small["peak"])
    assert small["page"] < LARGEST and big["page"] < LARGEST


@pytest.mark.long
def test_ten_thousand_cells_stay_below_a_minute_a_gigabyte_and_a_megabyte(tmp_path: Path) -> None:
    run = make_large_run(tmp_path / "run", 10_000)
    found = rendered(run, tmp_path / "out")
    assert found["seconds"] < 60 and found["peak"] < 1000 and found["page"] < 1_000_000, found


def test_the_page_says_how_many_cells_there_are_and_how_to_have_the_rest(document: Document) -> None:
    (said,) = re.findall(rf"This page shows (\d+) of {_NUMBER} cells", document.headline[0])
    assert 1 <= int(said) <= SHOWN[0] and "qtrace export RUN --to csv" in document.headline[0]
    counts = [int(number.replace(",", "")) for number in
              re.findall(r"Of all ([\d,]+) cells", " ".join(document.headline))]  # fmt: skip
    assert sum(counts) == _NUMBER  # each has one metric by which it is judged


def test_the_furthest_cells_are_those_of_all(document: Document, answers: Answers) -> None:
    rows = {row["metric"]: [] for name in ("throughput", "latency") for row in answers.ask(name)}
    for name in ("throughput", "latency"):
        for row in answers.ask(name):
            rows[row["metric"]].append(row)
    for table in section(document, "overview").tables:
        metric = table.title.partition(":")[0].replace(" ", "_")
        if metric not in rows:
            continue
        highest = max(rows[metric], key=lambda row: row["mean"])
        apart = [row for row in rows[metric] if row["ratio_low"] is not None]
        least = min(apart, key=lambda row: row["ratio"])
        lines = {line[0]: line for line in reversed(table.rows)}
        assert lines["highest"][1] == highest["nic"] and highest["workload"] in lines["highest"][3]
        assert lines["lowest ratio to tap"][1] == least["nic"]
        assert least["workload"] in lines["lowest ratio to tap"][3]


def test_the_maps_are_of_every_cell(document: Document, answers: Answers) -> None:
    figure = next(one for one in section(document, "overview").figures if one.name == "all-throughput")
    cell = next(row for row in answers.ask("throughput") if (row["nic"], row["netdev"]) == ("tulip", "user"))
    same = [row for row in answers.ask("throughput") if [row[name] for name in ("nic", "netdev", "way")] ==
            [cell[name] for name in ("nic", "netdev", "way")]]  # fmt: skip
    mean = math.exp(np.mean([math.log(row["ratio"]) for row in same]))
    (said,) = re.findall(
        rf"{cell['way']}, (?:guest to host|host to guest): \d+ settings.*?tulip on user: ([\d.]+) ×",
        figure.svg, re.DOTALL)[:1]  # fmt: skip
    assert len(same) > 1 and float(said) == pytest.approx(mean, rel=0.01)


def test_a_sentence_about_shown_cells_says_so(document: Document) -> None:
    assert section(document, "factors").said[0].startswith("Of the ")
    assert section(document, "throughput").said[0] == "Of all cells:"
    page = to_html(document)
    assert "not in the plan" not in page


def test_what_fails_in_a_cell_that_is_not_shown_is_on_the_page(quarter: Path, document: Document) -> None:
    excerpt = Excerpt(Answers(RunReader.open(quarter)))
    excerpt.choose(SHOWN[0])
    shown = {tuple(str(row[name]) for name in CELL) for row in excerpt.ask("throughput")}
    hidden = next(cell for cell in cells_of(_NUMBER // 4) if "+tap+vhost-net+tx" in cell
                  and tuple(cell_parts(cell)) not in shown)  # fmt: skip
    writer = RunWriter(quarter, json.loads((quarter / "run.json").read_text()))
    nic, netdev, datapath, way, *_ = hidden.split("+")
    failed = {"nic": nic, "netdev": netdev, "datapath": datapath, "direction": way, "workload": "tcp",
              "metric": "none", "status": "failed", "reason": "the guest is gone"}  # fmt: skip
    stage = {"direction": "tx", "position": 1, "stage": "deliver", "function": "tap_receive", "how": "uprobe",
             "attached": True, "calls": 5, "frames": 5, "bytes": 5}  # fmt: skip
    lost = {"kind": "lost", "item": "a ring", "count": 7, "note": "too full"}
    tables: dict[str, list[dict[str, Any]]] = {"results": [failed], "stages": [stage], "ledger": [lost]}
    writer.add(hidden, 99, True, tables)
    files = [file for name in tables for file in (quarter / "data" / name / f"cell={hidden}").iterdir()]
    alerts = " ".join(build(RunReader.open(quarter)).alerts)
    for file in files:
        file.unlink()
    assert "the guest is gone" in alerts and "Lost: a ring: 7" in alerts
    assert f"Not as planned: {nic} on tap + vhost, tx" in alerts
    assert "the guest is gone" not in " ".join(document.alerts)


def test_a_page_that_would_be_too_large_is_an_excerpt_too(tmp_path: Path) -> None:
    run = make_large_run(tmp_path / "run", 56)
    document = build(RunReader.open(run))
    assert "of 56 cells" in document.headline[0] and len(to_html(document).encode()) <= LARGEST
    maps = {figure.name: figure.svg for figure in section(document, "heat-maps").figures}
    assert maps["heat-throughput"].count("<title>") == 56  # a map still has every cell
    assert "not measured" not in maps["heat-throughput"]


def test_what_was_measured_twice_makes_no_run_large(tmp_path: Path) -> None:
    run = RunReader.open(make_large_run(tmp_path / "run", WHOLE, again=8))
    assert len(run.cells()) == WHOLE + 8
    answers = Answers(run)
    assert answers.cells == WHOLE and not answers.is_large
    assert Answers(RunReader.open(make_large_run(tmp_path / "more", WHOLE + 1))).is_large


def test_the_answers_are_those_of_a_plain_loop(large: Path, answers: Answers) -> None:
    reader = RunReader.open(large)
    tables = {name: reader.table(name).to_pandas() for name in ("results", "stages", "devices", "threads")}
    answered = {name: {(*(row[part] for part in CELL), row.get("metric", row.get("direction"))): row
                       for row in answers.ask(name)} for name in
                ("throughput", "latency", "vhost_proof", "reconciliation")}  # fmt: skip
    for cell in random.Random(3).sample(cells_of(_NUMBER), _SAMPLE):
        key = tuple(cell_parts(cell))
        metric, name = ("rtt_p50", "latency") if "+rr" in cell else ("throughput", "throughput")
        row = answered[name][(*key, metric)]
        values = plain_values(tables["results"], cell, metric)
        logs = [math.log(value) for value in values.values()]
        assert row["mean"] == pytest.approx(math.exp(np.mean(logs)))
        base = plain_values(tables["results"], baseline_of(cell), metric)
        ratios = [math.log(values[rep] / base[rep]) for rep in values]
        assert row["ratio"] == pytest.approx(math.exp(np.mean(ratios)))
        for direction in ("tx", "rx"):
            if proof := answered["vhost_proof"].get((*key, direction)):
                assert proof["qemu_frames"] == plain_frames(tables["stages"], cell, direction)
            if same := answered["reconciliation"].get((*key, direction)):
                assert same["device_frames"] == plain_device(tables["devices"], cell, direction)


def plain_values(results: pd.DataFrame, cell: str, metric: str) -> dict[int, float]:
    found = {}
    for row in results[results["cell"] == cell].to_dict("records"):
        if row["metric"] == metric and row["status"] == "ok" and not row["probed"]:
            found[row["rep"]] = row["value"]
    return found


def baseline_of(cell: str) -> str:
    nic, _, _, *rest = cell.split("+")
    return "+".join((nic, "tap", "qemu", *rest))


def plain_frames(stages: pd.DataFrame, cell: str, direction: str) -> int:
    sums: dict[str, int] = {}
    for row in stages[stages["cell"] == cell].to_dict("records"):
        in_qemu = row["attached"] and "probe" in row["how"] and not row["how"].startswith("k")
        if in_qemu and row["direction"] == direction and row["stage"] in ("dequeue", "deliver"):
            sums[row["function"]] = sums.get(row["function"], 0) + (row["frames"] or row["calls"])
    return max(sums.values())


def plain_device(devices: pd.DataFrame, cell: str, direction: str) -> int:
    seen = 0
    for row in devices[devices["cell"] == cell].to_dict("records"):
        if row["side"] == "tap" and row["probed"]:
            seen += row["rx_packets" if direction == "tx" else "tx_packets"]
    return seen


def test_the_true_ratios_are_in_their_intervals(answers: Answers) -> None:
    hits = []
    for row in (*answers.ask("throughput"), *answers.ask("latency")):
        if row["metric"] not in ("throughput", "rtt_p50") or row["ratio_low"] is None:
            continue
        rest = "+".join((row["way"], *row["workload"].split()))
        true = ratio_of("+".join((row["nic"], row["netdev"], row["datapath"], rest)))
        true = 1 / true if row["metric"] == "rtt_p50" else true
        hits.append(row["ratio_low"] <= true <= row["ratio_high"])
    assert len(hits) > 600 and 0.93 < np.mean(hits) < 0.97


def test_the_factors_of_a_shown_cell_multiply_to_its_ratio(large: Path) -> None:
    excerpt = Excerpt(Answers(RunReader.open(large)))
    excerpt.choose(SHOWN[-1])
    product: dict[tuple[Any, ...], float] = {}
    ratios: dict[tuple[Any, ...], float] = {}
    for row in excerpt.ask("factors"):
        key = (*(row[name] for name in CELL), row["than_nic"], row["than_netdev"], row["metric"])
        if row["factor"] == "ratio":
            ratios[key] = row["times"]
        elif row["leaf"]:
            product[key] = product.get(key, 1.0) * row["times"]
    assert len(ratios) >= 7 and product == pytest.approx(ratios)


def test_a_packed_run_answers_as_the_run_that_was_packed(tmp_path: Path) -> None:
    plan = {"name": "x", "repetitions": 2, "baseline": {"netdev": "tap", "datapath": "qemu"}, "blocks": ["b"]}
    loose = RunReader.open(make_run(tmp_path / "loose", repetitions=2, plan=plan, blocks=["b"]))
    packed = merge_runs([loose], tmp_path / "packed", [])
    one, two = (Answers(run).to_json()["analyses"] for run in (loose, packed))
    assert one == two and len(one["stages"]["rows"]) > 100
