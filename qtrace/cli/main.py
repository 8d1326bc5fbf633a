"""The `qtrace` command: a group that finds one verb in each file of this folder."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import click

import qtrace.cli
from qtrace import __version__
from qtrace.errors import QtraceError

__all__ = ["main"]


class _Verbs(click.Group):
    """Loads a verb's module only when it is asked for, so that `walk` never pays for pandas."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = (module.name for module in pkgutil.iter_modules(qtrace.cli.__path__))
        return sorted(name for name in names if name != "main" and not name.startswith("_"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"qtrace.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except QtraceError as exc:
            message = str(exc) + (f"\n{exc.hint}" if exc.hint else "")
            raise click.ClickException(message) from exc


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="qtrace")
def _group() -> None:
    """Read a packet's path out of QEMU's source, then measure it on a running QEMU."""


def main() -> None:
    """Entry point. Exit status: 0 done, 1 refused or failed with one message, 2 wrong usage."""
    try:
        _group.main(standalone_mode=True)
    except BrokenPipeError:  # `qtrace map | head`
        sys.stderr.close()
        sys.exit(0)
