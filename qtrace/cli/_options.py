"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from qtrace.cli._console import plain

if TYPE_CHECKING:
    from qtrace.store.index import Index

__all__ = ["flag_errors", "index_option"]

index_option = click.option(
    "--index",
    "index_name",
    default="",
    metavar="VERSION|FILE",
    help="Which source index to ask: a QEMU version that was indexed (7.2.22, or 7.2.22+libraries), or an "
    "index file [default: the one used last].",
)


def flag_errors(index: Index, files: Iterable[str]) -> None:
    """Say which of these files the compiler did not understand as a whole: facts of theirs may be missing."""
    for file, errors in index.errors_in(sorted(set(files))):
        click.echo(plain(f"!!  {file} was indexed with errors: {errors}"), err=True)
