"""Options that several verbs share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from qtrace.cli._console import ConsoleProgress, plain
from qtrace.cli._help import completing
from qtrace.errors import OldIndex
from qtrace.trace.session.level import Level

if TYPE_CHECKING:
    from qtrace.measure.effort import Effort
    from qtrace.store.index import Index

__all__ = [
    "budget_option",
    "effort_of",
    "flag_errors",
    "index_option",
    "language_option",
    "level_option",
    "named_index",
]

index_option = click.option(
    "--index",
    "index_name",
    default="",
    metavar="VERSION|FILE",
    help="Ask this source index: a QEMU version that was indexed (7.2.22, or 7.2.22+libraries), or an index "
    "file [default: the one used last].",
)

level_option = click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    default=Level.STAGES.value,
    show_default=True,
    help="How much to measure. counts: system calls and the devices' own counters, without a probe in QEMU; "
    "stages: the path's stages; full: every function of the path that has a place in the binary.",
)
budget_option = click.option(
    "--max-overhead",
    "budget",
    default="",
    metavar="PERCENT|none",
    help="The share of one processor that probes may take on the mean. Above it, functions are counted in "
    "windows and scaled, with an interval; none gives exact counts at any cost [default: 5%, with --level "
    "full none].",
)


def _report_languages() -> list[str]:
    from qtrace.report.speech import report_languages

    return report_languages()


def _spoken(context: click.Context, option: click.Parameter, language: str) -> str:
    """The language, if there is one: it is refused before anything is measured. Raises LanguageError."""
    from qtrace.report.speech import speaking

    with speaking(language):
        return language


language_option = click.option(
    "--lang",
    "language",
    default="en",
    show_default=True,
    metavar="LANGUAGE",
    callback=_spoken,
    shell_complete=completing(_report_languages),
    help="The report's language: zh or en. Messages of tools and texts of a stored run stay as they are.",
)


def effort_of(level: str, budget: str) -> Effort:
    """The effort that --level and --max-overhead ask for. Raises click.BadParameter."""
    from qtrace.measure.effort import Effort
    from qtrace.trace.budget.overhead_budget import Budget, default_budget

    try:
        return Effort(Level(level), Budget.parse(budget) if budget else default_budget(Level(level)))
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--max-overhead") from exc


def named_index(name: str) -> Index:
    """The index for --index. An index of another release of qtrace is built again, which is reported."""
    from qtrace.store.index import find_index

    with contextlib.suppress(OldIndex):
        return find_index(name)
    from qtrace.index.renew import index_named  # imports libclang, without which `walk` starts faster

    progress = ConsoleProgress()
    try:
        return index_named(name, progress)
    finally:
        progress.close()


def flag_errors(index: Index, files: Iterable[str]) -> None:
    """Warn of those of these files that the compiler could not parse completely: facts may be missing."""
    for file, errors in index.errors_in(sorted(set(files))):
        click.echo(plain(f"!!  {file} was indexed with errors: {errors}"), err=True)
