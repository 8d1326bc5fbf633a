"""The report in another language: whole, of the same numbers, set as that language is set."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import autocorrect_py as autocorrect
import pytest
from click.testing import CliRunner
from english_sentences import sentences_of_the_report
from made_up import make_run

from qtrace.cli.main import command
from qtrace.errors import LanguageError
from qtrace.report.document import Document
from qtrace.report.formats.first_page import to_text
from qtrace.report.formats.html import to_html
from qtrace.report.render import build
from qtrace.report.speech import ENGLISH, report_languages, say, speaking, told
from qtrace.store.run import RunReader
from qtrace.wordbook import load_wordbook, places

HERE = Path(__file__).parent
COMPARED = HERE.parent / "store" / "runs" / "format-2" / "compared"
RUNS = (COMPARED, COMPARED.with_name("recorded"))  # a campaign's, and a process's with every instrument
OTHERS = [name for name in report_languages() if name != ENGLISH]
HAN = re.compile("[\u4e00-\u9fff]")
# What a text may have in any language: names in code marks, and names of things that are names everywhere.
NAME = re.compile(r"`[^`]*`|\{[^}]*\}|[A-Za-z_]+[0-9]+[A-Za-z0-9_]*|10\^[69]")


@functools.cache
def built(run: Path, language: str) -> Document:
    return build(RunReader.open(run), language)


def numbers(sentence: str) -> set[str]:
    return set(re.findall(r"\d+(?:[.,]\d+)*", NAME.sub(" ", sentence)))


def digits(text: str) -> list[str]:
    """The numbers of a text, in any order; what belongs to a name is none."""
    return sorted(re.findall(r"(?<![A-Za-z_\d])\d+", text))


def texts(document: Document) -> list[str]:
    """Everything that a reader reads, but for tables' cells."""
    found = [document.title, document.subtitle, *document.alerts, *document.headline, *document.because]
    for section in document.sections:
        found += [section.title, section.reading, *section.said, *(one.text for one in section.figures)]
        for table in section.tables:
            found += [table.title, table.said, *(column.title for column in table.columns)]
    return [text for text in found if text]


def test_there_is_chinese() -> None:
    assert report_languages() == ["en", "zh"]


@pytest.mark.parametrize("language", OTHERS)
def test_no_sentence_is_missing(language: str) -> None:
    """Each sentence of the code is there, with the same places and no number of its own."""
    book, english = load_wordbook(language, "qtrace.report"), sentences_of_the_report()
    known = {**book.stored, **book.sentences}
    assert len(english) > 300
    assert not sorted(english - set(known))
    for one, other in known.items():
        assert places(one) == places(other), one
        assert numbers(other) <= numbers(one), one


@pytest.mark.parametrize("language", OTHERS)
def test_no_sentence_is_left_that_nobody_says(language: str) -> None:
    raw = load_wordbook(language, "qtrace.report").raw
    said = {one for one in raw["sentences"] if any(char.isalpha() for char in one)}
    assert not sorted(said - sentences_of_the_report())


def test_no_sentence_holds_a_measured_number() -> None:
    """But for the level of an interval, powers of ten, and the example of a ratio."""
    assert {n for one in sentences_of_the_report() for n in numbers(one)} <= {"95", "0.05", "0.80", "1", "2"}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_report_is_whole_in_chinese(run: Path) -> None:
    document = built(run, "zh")
    names = {"A/A", "n", "p", "p50", "p90", "p99", "netdev", "errno", "vCPU", "rr", "95 %"}
    stages = ["kick", "dequeue", "send", "deliver", "host", "complete", "interrupt", "enqueue"]
    backs = ["tap + vhost", "virtio-net-pci", "e1000", "tap", "user"]
    for text in texts(document):
        assert HAN.search(text) or text in {*names, *stages, *backs}, text


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_the_numbers_are_the_same_in_every_language(run: Path) -> None:
    """Number by number, table by table."""
    english, chinese = (built(run, name) for name in ("en", "zh"))
    assert len(english.sections) == len(chinese.sections)
    for one, other in zip(english.sections, chinese.sections, strict=True):
        assert (one.name, one.code) == (other.name, other.code)
        assert [len(table.rows) for table in one.tables] == [len(table.rows) for table in other.tables]
        for left, right in zip(one.tables, other.tables, strict=True):
            for cells in zip(left.rows, right.rows, strict=True):
                for cell, spoken in zip(*cells, strict=True):
                    assert digits(cell) == digits(spoken), cell
    for one, other in zip(english.headline, chinese.headline, strict=True):
        assert digits(one) == digits(other)


def test_chinese_is_set_as_chinese() -> None:
    """A space between Han and Latin, full-width punctuation: by autocorrect, which finds nothing to mend."""
    for run in RUNS:
        for text in texts(built(run, "zh")):
            if HAN.search(text):
                shown = re.sub(r"`[^`]*`", "abc", text)
                assert autocorrect.format(shown) == shown


def test_the_series_words_are_used() -> None:
    """As in the posts: what a reader of the series would stumble over stands nowhere."""
    from qtrace.post.language import load_language

    book = load_wordbook("zh", "qtrace.report")
    whole = "\n".join([*book.sentences.values(), *book.stored.values()])
    for term in load_language("zh").glossary:
        for word in term.avoid:
            assert word not in whole, word
    for word in ("虚拟网卡", "后端", "宿主机", "客户机", "门铃", "帧"):
        assert word in whole


def test_english_is_what_the_code_says() -> None:
    """The first page of a stored run, word for word. `python tests/report/test_report_languages.py` writes it
    anew where a sentence was changed on purpose."""
    assert to_text(built(COMPARED, "en")) == (HERE / "first_page.en.txt").read_text()


def test_a_stored_text_is_found_by_its_english_and_another_stays() -> None:
    with speaking("zh"):
        said = told("frames a second 1,919 -> 1,688")
        assert said == "每秒帧数 1,919 → 1,688"
        assert told("Connection refused by peer {x}") == "Connection refused by peer {x}"
        # A value is data: its braces are no places.
        assert say("failed: {reason}", reason="{reason}{0.__class__}") == "失败：{reason}{0.__class__}"
    assert told("faster") == "faster" and say("faster") == "faster"


def test_what_stays_in_english_is_marked(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", repetitions=1, venue_reason="the tool <b>said</b> that it would not")
    page = to_html(build(RunReader.open(run), "zh"))
    assert '<html lang="zh-CN">' in page and 'lang="en">said' not in page
    assert '<span lang="en">that it would not</span>' in page and "<b>said" not in page
    english = to_html(build(RunReader.open(run)))
    assert '<html lang="en">' in english and "<span lang" not in english


def test_the_verb_takes_a_language(tmp_path: Path) -> None:
    runner = CliRunner()
    small = str(make_run(tmp_path / "run", repetitions=1))
    words = ["report", small, "--lang", "zh", "--format", "md", "-o", str(tmp_path / "out")]
    assert runner.invoke(command, words).exit_code == 0
    assert "吞吐量" in (tmp_path / "out" / "report.md").read_text()
    for words in (["report", small], ["bench", "quick", "--report", str(tmp_path / "new")]):
        refused = runner.invoke(command, [*words, "--lang", "tlh"])
        assert isinstance(refused.exception, LanguageError) and "en, zh" in refused.exception.hint


if __name__ == "__main__":
    (HERE / "first_page.en.txt").write_text(to_text(build(RunReader.open(COMPARED))))
