"""`qtrace analyses`: the questions that a run answers, and its answers."""

from __future__ import annotations

from pathlib import Path

import click

from qtrace.cli._console import echo_json
from qtrace.cli._help import Verb

__all__ = ["command"]


@click.command(
    "analyses",
    cls=Verb,
    examples=(
        ("qtrace analyses", "the questions that a report answers"),
        ("qtrace analyses RUN", "each question with its answer in a sentence"),
        ("qtrace analyses RUN --only factors", "one answer in full, as a table"),
    ),
)
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--only", metavar="NAME", help="Answer this question alone, with its table.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(run: Path | None, only: str | None, form: str) -> None:
    """List the questions that the analyses answer about a run; with RUN, answer them in sentences.

    'qtrace report RUN --format json' has all answers in full.
    """
    from qtrace.analyses.methods.registry import analyses

    known = analyses()
    if only is not None and only not in known:
        raise click.BadParameter(
            f"there is no analysis {only!r}; there are {', '.join(known)}", param_hint="'--only'"
        )
    if only is not None and run is None:
        raise click.UsageError("--only needs a RUN")
    if run is not None:
        _answer(run, [only] if only else list(known), form, with_tables=only is not None)
        return
    if form == "json":
        echo_json(
            [
                {"name": item.name, "question": item.question, "columns": list(item.columns)}
                for item in known.values()
            ]
        )
        return
    width = max(len(name) for name in known)
    for item in known.values():
        click.echo(f"{item.name:<{width}}  {item.question}")


def _answer(run: Path, names: list[str], form: str, *, with_tables: bool) -> None:
    from qtrace.analyses.methods.registry import analyses
    from qtrace.report.answers import Answers
    from qtrace.report.sentences import sentences
    from qtrace.report.table_text import as_columns
    from qtrace.store.run import RunReader

    answers = Answers(RunReader.open(run))
    if form == "json":
        echo_json(
            [
                {"name": name, "question": analyses()[name].question, "said": list(sentences(answers, name))}
                | ({"rows": list(answers.ask(name))} if with_tables else {})
                for name in names
            ]
        )
        return
    for name in names:
        rows = answers.ask(name)
        click.echo(f"{name}: {analyses()[name].question}")
        for line in sentences(answers, name) or (
            (f"{len(rows)} rows." if rows else "This run has no answer."),
        ):
            click.echo(f"  {line}")
        if with_tables and rows:
            click.echo(as_columns(analyses()[name].columns, rows))
