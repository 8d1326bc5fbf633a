"""The `qtrace` command: a group that finds one verb in each file of this folder."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import Any, ClassVar

import click

import qtrace.cli
from qtrace import __version__
from qtrace.cli._console import nobody_reads
from qtrace.cli._help import VerbGroup
from qtrace.cli._requests import heed_requests
from qtrace.errors import QtraceError

__all__ = ["command", "main"]


class _ReaderGone(Exception):
    """The reader of the output has closed it: `qtrace map | head`."""


class _Verbs(VerbGroup):
    """Loads a verb's module only when it is used, so that `walk` does not import pandas."""

    sections: ClassVar[dict[str, tuple[str, ...]]] = {
        "QEMU's source": ("index", "map", "walk", "show", "atlas"),
        "A command line": ("explain",),
        "A running QEMU": ("symbols", "probes", "trace", "record", "why", "export"),
        "Guests that qtrace starts": ("lab", "reach", "bench"),
        "Results": ("report", "post", "merge", "compare", "analyses"),
        "This machine": ("doctor", "completion"),
    }

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            raise _ReaderGone from exc  # before click reports a failure

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = (module.name for module in pkgutil.iter_modules(qtrace.cli.__path__))
        return sorted(name for name in names if name != "main" and not name.startswith("_"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"qtrace.cli.{name}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="qtrace")
def command() -> None:
    """Read a packet's path out of QEMU's source, then measure it on a running QEMU."""


def main() -> None:
    """Entry point. Exit status: 0 done, 1 refused or failed with one message, 2 wrong usage, 130 Ctrl-C.

    A request to end (SIGTERM, a closed terminal) is handled like Ctrl-C, so that everything that was started
    is ended.
    """
    heed_requests()
    try:
        status = command.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except QtraceError as exc:
        click.echo(f"qtrace: {exc}" + (f"\n        {exc.hint}" if exc.hint else ""), err=True)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nqtrace: interrupted", err=True)
        sys.exit(130)
    except _ReaderGone:
        nobody_reads(sys.stdout)  # discards the rest of the buffer
        sys.exit(0)
