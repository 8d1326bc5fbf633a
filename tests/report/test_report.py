"""Reports of a made-up run: whole, the same each time, and safe whatever a guest called itself."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_up import make_run
from markdown_it import MarkdownIt

from qtrace.cli.analyses import command as analyses_verb
from qtrace.cli.report import command as report_verb
from qtrace.errors import StoreError
from qtrace.report.document import Table
from qtrace.report.render import build, render
from qtrace.report.text import bits, clean, count, duration, plain_number, span, times
from qtrace.store.run import RunReader, RunWriter

HOSTILE = '<script>alert("x")</script>|`a`\x1b[31m\n# heading'


@pytest.fixture(scope="module")
def made_up_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "made-up")


@pytest.fixture(scope="module")
def report(made_up_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "report"
    render(RunReader.open(made_up_run), out)
    return out


class _Tags(HTMLParser):
    """Collects start tags and what they refer to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            elif name in ("src", "href", "xlink:href") and value:
                self.links.append(value)


def test_the_report_is_whole(report: Path) -> None:
    text = (report / "report.md").read_text()
    for title in ("Conditions", "Throughput", "Round-trip latency", "The paths", "Packets at each stage",
                  "Time between neighbouring stages", "System calls, kicks and interrupts", "CPU time",
                  "Is vhost really on?", "Against the tap device's own counters", "The cost of the probes",
                  "Ledger", "Make it again"):  # fmt: skip
        assert f"\n## {title}\n" in text
    assert "virtio-net-pci, tx, guest to host: tap + vhost is fastest with 2.50 Gbit/s, 1.50 × tap" in text
    assert "vhost is proved" in text
    for figure in re.findall(r"\]\((figures/[^)]+)\)", text):
        ElementTree.parse(report / figure)
    assert len(list((report / "figures").glob("path-*.svg"))) == 10
    assert not list(report.rglob(".*")), "a temporary file was left"


def test_every_row_of_a_markdown_table_has_its_columns(report: Path) -> None:
    width = 0
    for line in (report / "report.md").read_text().splitlines():
        bars = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert bars in (0, width) or not width, line
        width = bars


def test_a_table_in_markdown_is_folded_and_still_a_table(report: Path) -> None:
    text = (report / "report.md").read_text()
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert page.count("<table>") == page.count("<details") == page.count("<summary>") > 20
    assert "| --- |" not in page


def test_the_page_needs_nothing_else(report: Path) -> None:
    page = _Tags((report / "report.html").read_text())
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert page.tags.count("svg") == 16
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids)), "two figures share an id"


def test_the_same_run_gives_the_same_report(made_up_run: Path, report: Path, tmp_path: Path) -> None:
    for file in render(RunReader.open(made_up_run), tmp_path):
        assert file.read_bytes() == (report / file.relative_to(tmp_path)).read_bytes(), file.name


def test_a_drawing_says_what_was_counted_and_where(report: Path) -> None:
    text = (report / "figures" / "path-virtio-net-pci-tap-qemu-tx.svg").read_text()
    for said in ("tap_deliver_tx", "net/tap.c:103", "3,027 frames", "p50 ", "via between_1"):
        assert said in text
    assert (
        "drivers/vhost/net.c (Linux)"
        in (report / "figures" / "path-virtio-net-pci-tap-vhost-net-rx.svg").read_text()
    )


def add_failure(path: Path, reason: str, kind: str = "failed") -> None:
    """One more measurement of an open run, which failed (test data)."""
    writer = RunWriter(path, json.loads((path / "run.json").read_text()))
    row = {"nic": HOSTILE, "netdev": "tap", "datapath": "qemu", "direction": "tx", "workload": "tcp"}
    row |= {"metric": "none", "status": "failed", "reason": reason}
    ledger = {"kind": kind, "item": HOSTILE, "count": 7, "note": reason}
    writer.add("e1000+tap+qemu+tx+tcp", 9, True, {"results": [row], "ledger": [ledger]})
    writer.finish("partial")


def test_failure_and_loss_come_first_and_are_only_text(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", repetitions=1, venue_reason=HOSTILE, conditions={HOSTILE: HOSTILE})
    add_failure(run, HOSTILE, kind="lost")
    render(RunReader.open(run), tmp_path / "out")
    markdown = (tmp_path / "out" / "report.md").read_text()
    first = "\n".join(markdown.splitlines()[:6])
    assert "This run is partial" in first and "Failed: " in first and "Lost: " in first
    page = (tmp_path / "out" / "report.html").read_text()
    assert "script" not in _Tags(page).tags
    assert page.index("Failed: ") < page.index("<h2>")
    for text in (markdown, page):
        assert "\x1b" not in text and "\n# heading" not in text
    assert not re.search(r"(?<!\\)<script", markdown)


def test_a_hostile_name_stays_inside_its_drawing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", repetitions=1)
    meta = json.loads((run / "run.json").read_text())
    meta["paths"][0]["steps"][0] |= {"function": HOSTILE, "file": HOSTILE}
    meta["paths"][0]["nic"] = HOSTILE
    (run / "run.json").write_text(json.dumps(meta))
    for file in render(RunReader.open(run), tmp_path / "out"):
        if file.suffix == ".svg":
            assert file.parent == tmp_path / "out" / "figures"
            tree = ElementTree.parse(file)
            assert not [node for node in tree.iter() if node.tag.endswith("script")]


def test_a_damaged_file_is_named_in_the_first_lines(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", repetitions=2)
    file = next((run / "data" / "stages").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:50])
    document = build(RunReader.open(run))
    assert any("Damaged" in alert and file.name in alert for alert in document.alerts)


def test_a_run_with_nothing_in_it_still_has_a_report(tmp_path: Path) -> None:
    meta = {"venue": "vm", "conditions": {}, "paths": [], "plan": {}}
    RunWriter.create(tmp_path / "run", meta)
    render(RunReader.open(tmp_path / "run"), tmp_path / "out")
    assert "This run is running" in (tmp_path / "out" / "report.md").read_text()


def test_one_repetition_has_means_and_no_interval(tmp_path: Path) -> None:
    render(RunReader.open(make_run(tmp_path / "run", repetitions=1)), tmp_path / "out")
    assert "nan" not in (tmp_path / "out" / "report.md").read_text()


def test_paths_of_another_shape_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", repetitions=1, paths=[{"nic": "e1000"}])
    with pytest.raises(StoreError, match="paths"):
        build(RunReader.open(run))


def test_the_verbs(made_up_run: Path, tmp_path: Path) -> None:
    said = CliRunner().invoke(report_verb, [str(made_up_run), "--format", "json"])
    answers = json.loads(said.stdout)
    assert answers["venue"] == "host" and len(answers["analyses"]["throughput"]["rows"]) == 10
    said = CliRunner().invoke(report_verb, [str(made_up_run), "-o", str(tmp_path / "o"), "--format", "md"])
    assert said.exit_code == 0 and said.stdout.split() == [str(tmp_path / "o" / "report.md")]
    assert not (tmp_path / "o" / "report.html").exists()
    listed = json.loads(CliRunner().invoke(analyses_verb, ["--format", "json"]).stdout)
    assert {item["name"] for item in listed} == set(answers["analyses"])


def test_numbers_as_a_reader_wants_them() -> None:
    assert bits(1.7123e9) == "1.71 Gbit/s" and bits(None) == "–" and bits(0) == "0 bit/s"
    assert duration(3100) == "3.10 µs" and count(1234567.0) == "1,234,567"
    assert times(0.99999999) == "1.00 ×" and plain_number(9.996) == "10.0"
    assert times(0.0821) == "0.0821 ×" and plain_number(123456) == "123,456"
    assert span("139 Mbit/s", "153 Mbit/s") == "139 to 153 Mbit/s"
    assert span("990 Mbit/s", "1.01 Gbit/s") == "990 Mbit/s to 1.01 Gbit/s"
    assert clean("a\x1b[1m\nb\u202e") == "a [1m b"
    assert Table.of("", "a|#b", [("\u2003x\n", 1)]).rows == (("\u2003x", "1"),)


def test_a_recorded_process_has_its_stages_without_a_workload(tmp_path: Path) -> None:
    stage = {"direction": "tx", "position": 1, "stage": "deliver", "function": "tap_receive", "how": "uprobe",
             "attached": True, "calls": 1009, "frames": 1009, "bytes": 9, "note": ""}  # fmt: skip
    with RunWriter.create(tmp_path / "run", {"venue": "host", "conditions": {}, "paths": []}) as writer:
        writer.add("e1000+tap+qemu+both+live", 1, True, {"stages": [stage]})
    document = build(RunReader.open(tmp_path / "run"))
    tables = next(section for section in document.sections if section.name == "stages").tables
    assert "1,009" in tables[0].rows[0] and not document.alerts
    (said,) = (row[1] for row in document.sections[0].tables[0].rows if row[0] == "measured")
    assert said == "1 cells, 1 repetition, with probes"
