"""Options that several verbs share."""

from __future__ import annotations

import click

__all__ = ["index_option"]

index_option = click.option(
    "--index",
    "index_name",
    default="",
    metavar="VERSION|FILE",
    help="Which source index to ask: a QEMU version that was indexed (7.2.22, or 7.2.22+libraries), or an "
    "index file [default: the one used last].",
)
