"""`render`: a recorded run becomes `report.md`, `report.html` and `figures/*.svg`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from qtrace.errors import StoreError
from qtrace.report.answers import Answers
from qtrace.report.contents import contents
from qtrace.report.document import Document, Section
from qtrace.report.excerpt import MORE, SHOWN, Excerpt
from qtrace.report.formats.html import to_html
from qtrace.report.formats.markdown import to_markdown
from qtrace.report.section import ReportSection
from qtrace.report.sentences import sentences
from qtrace.report.speech import ENGLISH, say, speaking, spoken, told
from qtrace.report.text import backend, clean
from qtrace.store.run import RunReader

__all__ = ["FORMATS", "LARGEST", "build", "render"]

FORMATS = ("md", "html")
LARGEST = 1_000_000  # bytes of report.html


def render(
    run: RunReader, out: Path, formats: Collection[str] = FORMATS, language: str = ENGLISH
) -> list[Path]:
    """Write the report of `run` into the folder `out`; returns the files. Raises StoreError, LanguageError.

    All files are made in a separate folder and then moved one by one: a report that is being read stays
    whole, and a failure leaves the old report in place.
    """
    document = build(run, language)
    files: dict[str, str] = {}
    if "md" in formats:
        files["report.md"] = to_markdown(document)
        files |= {
            f"figures/{figure.name}.svg": figure.svg
            for section in document.sections
            for figure in section.figures
        }
    if "html" in formats:
        files["report.html"] = to_html(document)
    try:
        return _place(files, out)
    except OSError as exc:
        raise StoreError(f"cannot write the report to {out}: {exc.strerror}") from exc


def _place(files: dict[str, str], out: Path) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".report.", dir=out))
    try:
        for name, text in files.items():
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_text(text, encoding="utf-8")
        for name in files:
            (out / name).parent.mkdir(exist_ok=True)
            (work / name).replace(out / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return [out / name for name in files]


def build(run: RunReader, language: str = ENGLISH) -> Document:
    """The report as a document. Raises StoreError if the run's metadata cannot be understood, LanguageError.

    Of a run with too many cells for a page (more than `answers.WHOLE`, or a page above `LARGEST`) it shows an
    excerpt, and says what is left out.
    """
    with speaking(language):
        return _built(Answers(run))


def _built(answers: Answers) -> Document:
    if not answers.is_large:
        document = _document(answers)
        if _fits(document):
            return document
    excerpt = Excerpt(answers)
    for number in SHOWN if answers.is_large else (*(n for n in MORE if n < answers.cells), *SHOWN):
        excerpt.choose(number)
        document = _document(excerpt)
        if _fits(document):
            break
    return document


def _fits(document: Document) -> bool:
    return len(to_html(document).encode()) <= LARGEST


def _document(answers: Answers) -> Document:
    parts = contents()
    written = [(part, part.write(answers)) for part in parts]
    meta = answers.run.meta
    reason = clean(meta.get("venue_reason") or "")
    subtitle = say("Run {id}, venue {venue}", id=clean(meta["id"]), venue=told(clean(meta["venue"])))
    subtitle += say(" ({reason})", reason=told(reason)) if reason else ""
    conditions = meta["conditions"]
    qemus = [name for name in conditions if name.startswith("QEMU ") and ":" not in name]
    subtitle += "".join(
        say("{one}, {other}", one="", other=f"{clean(name)}: {told(clean(conditions[name]))}")
        if name in qemus
        else say(", {name} {value}", name=told(name), value=told(clean(conditions[name])))
        for name in ("QEMU", *qemus, "accelerator")
        if name in conditions
    )
    return Document(
        title=_title(answers),
        subtitle=say("{subtitle}, {repeated}.", subtitle=subtitle, repeated=answers.repeated),
        alerts=tuple(_alerts(answers)),
        headline=(*answers.excerpted(), *(line for part in parts for line in part.headline(answers))),
        because=tuple(line for part in parts for line in part.because(answers)),
        sections=tuple(
            answers.cut(_told(replace(section, said=(*section.said, *_said(part, answers)))), part.analyses)
            for part, section in written
            if part.always or _has_content(section)
        ),
        language=spoken().name,
    )


def _told(section: Section) -> Section:
    """What a section says in the same words of every run, in the language that is spoken."""
    return replace(section, title=say(section.title), reading=say(section.reading))


def _said(part: ReportSection, answers: Answers) -> list[str]:
    """The section's analyses in sentences."""
    return [line for name in part.analyses for line in sentences(answers, name)]


def _has_content(section: Section) -> bool:
    filled = any(table.rows for table in section.tables)
    return filled or bool(section.figures or section.code)


def _title(answers: Answers) -> str:
    if isinstance(title := answers.plan.get("title"), str) and title:
        return say("QEMU networking: {title}", title=told(clean(title)))
    return say("QEMU networking: run {id}", id=clean(answers.run.meta["id"]))


def _alerts(answers: Answers) -> list[str]:
    """Warnings that a reader needs before any number."""
    meta, said = answers.run.meta, []
    if (status := meta["status"]) != "complete":
        said.append(
            say("This run is {status}: what follows is what was recorded.", status=told(clean(status)))
        )
    failures = answers.failures()
    for row in failures[:8]:
        said.append(
            say(
                "Failed: {nic} on {back}, {way}, {workload}, repetition {rep}, {probed}: {reason}",
                nic=clean(row["nic"]),
                back=backend(row["netdev"], row["datapath"]),
                way=clean(row["direction"]) if row["direction"] in ("tx", "rx") else say("both ways"),
                workload=clean(row["workload"]),
                rep=row["rep"],
                probed=say("with probes") if row["probed"] else say("without probes"),
                reason=told(clean(row["reason"])),
            )
        )
    if len(failures) > 8:
        said.append(say("{number} more measurements failed; see the ledger.", number=len(failures) - 8))
    said += [line for part in contents() for line in answers.cut_lines(part.alerts(answers))]
    said += [say("Damaged and left out: {name}", name=clean(name)) for name in answers.run.damaged]
    return list(dict.fromkeys(said))
