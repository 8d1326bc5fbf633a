"""The first page of a real run's report: what is fastest, why, and only words that an interval carries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qtrace.report.answers import Answers
from qtrace.report.document import Document
from qtrace.report.pair_rows import compared_pairs
from qtrace.report.ranking import ranked
from qtrace.report.render import build
from qtrace.report.sections.factors import said
from qtrace.report.text import bits, microseconds, times
from qtrace.store.run import RunReader

COMPARED = Path(__file__).parents[1] / "store" / "runs" / "format-2" / "compared"


@pytest.fixture(scope="module")
def answers() -> Answers:
    return Answers(RunReader.open(COMPARED))


@pytest.fixture(scope="module")
def document() -> Document:
    return build(RunReader.open(COMPARED))


def row(
    back: str, mean: float, ratio: float | None, low: float | None, high: float | None
) -> dict[str, object]:
    return {
        "netdev": back,
        "datapath": "qemu",
        "mean": mean,
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
    }


def test_fastest_is_said_only_where_the_intervals_lie_apart() -> None:
    tap, user = row("tap", 2e9, 1.0, None, None), row("user", 1e9, 0.5, 0.4, 0.6)
    assert ranked([user, tap], "tap", bits, more_is_better=True) == (
        "tap is fastest with 2.00 Gbit/s; user 1.00 Gbit/s, slower: 0.500 × tap (0.400 to 0.600 ×)"
    )
    vde, socket = row("vde", 3e9, 1.5, 1.2, 1.9), row("socket", 2.8e9, 1.4, 1.1, 1.6)
    said = ranked([tap, vde, socket], "tap", bits, more_is_better=True)
    assert "fastest with" not in said and said.endswith("none is proved fastest")
    assert said.count("faster") == 2


def test_what_is_not_known_is_not_said() -> None:
    tap, once = row("tap", 2e9, 1.0, None, None), row("user", 1e9, 0.5, None, None)
    assert "one repetition: nothing is proved" in ranked([tap, once], "tap", bits, more_is_better=True)
    same = ranked([tap, row("user", 1.9e9, 0.95, 0.8, 1.1)], "tap", bits, more_is_better=True)
    assert "user 1.90 Gbit/s, not to be told from tap" in same and "slower" not in same
    assert "none" not in ranked([tap], "tap", bits, more_is_better=True)


def test_a_shorter_round_trip_is_faster() -> None:
    rows = [row("tap", 100.0, 1.0, None, None), row("user", 200.0, 2.0, 1.5, 2.5)]
    assert ranked(rows, "tap", microseconds, more_is_better=False).startswith(
        "tap is fastest with 100 µs; user"
    )


def test_the_first_lines_answer(document: Document) -> None:
    (tx,) = (line for line in document.headline if line.startswith("virtio-net-pci, tx"))
    assert "tap + vhost is fastest" in tx and "slower: 0.108 × tap" in tx
    # Its interval holds 1, and so does the sentence.
    (trip,) = (line for line in document.headline if line.startswith("e1000, median"))
    assert "user 3.28 ms, not to be told from tap" in trip and "none is proved fastest" in trip
    assert [line for line in document.alerts if "in 4 of 15 cells" in line] == [document.alerts[-1]]


def test_every_word_is_carried_by_its_interval(answers: Answers) -> None:
    pairs = compared_pairs(answers)
    assert len(pairs) == 12
    for pair in pairs:
        line, whole = said(pair), pair.whole
        told = whole["low"] > 1 or whole["high"] < 1
        assert (" cannot be told from " in line) != told
        better = (whole["times"] > 1) == (whole["metric"] == "throughput")
        assert (" is faster: " in line) == (told and better) and times(whole["times"]) in line
        for factor in pair.leading():
            assert factor["low"] > 1 or factor["high"] < 1


def test_the_why_of_the_pairs_that_are_asked_for(document: Document) -> None:
    """With vhost the kernel's worker stands in the main loop's place; a frame of user is small."""
    lines = {tuple(line.split(": ")[:2]): line for line in document.because}
    vhost = next(line for line in lines.values() if "tap + vhost is faster: 1.46 × tap" in line)
    assert re.search(
        r"the main loop takes .* a frame against .* \(1\.56 ×\); the vhost worker takes .* none", vhost
    )
    user = next(line for line in lines.values() if "user is slower: 0.108 × tap" in line)
    assert "because a frame carries 1.43 kB against 51.2 kB (0.0280 ×)" in user
    nics = next(line for line in lines.values() if "virtio-net-pci is faster: 5.20 × e1000" in line)
    assert "a frame carries 51.2 kB against 1.44 kB (35.6 ×)" in nics


def test_the_table_of_a_pair_says_where_each_factor_shows(document: Document) -> None:
    (section,) = (one for one in document.sections if one.name == "factors")
    (table,) = (
        one for one in section.tables if one.title.startswith("virtio-net-pci, tx") and "user" in one.title
    )
    cells = {line[0].strip("\u2003"): line for line in table.rows}
    assert cells["measured ratio"][3] == "0.108 ×" and cells["rest, unexplained"][3] == "1.00 ×"
    assert cells["bytes a frame"][1:3] == ("1.43 kB", "51.2 kB")
    assert cells["main loop"][0].startswith("\u2003\u2003") and "deliver → host" in cells["main loop"][5]
    assert cells["vCPU"][5].startswith("interrupt: 0.0327 / 0.385")
    assert cells["time around the traffic"][5] == "–"
