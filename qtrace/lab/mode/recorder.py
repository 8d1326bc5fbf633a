"""Runs the commands that build a lab, and records each as a line that can be copied into a shell."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

from qtrace.errors import LabError
from qtrace.lab.guest.guest import unprivileged
from qtrace.lab.host.owned import mortal
from qtrace.lab.link.tap import private_tun

__all__ = ["Attempt", "Recorder"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A command tried first as a user without any rights: `said` is the reason of its failure, or empty."""

    argv: tuple[str, ...]
    stdin: str
    said: str


@dataclass(slots=True)
class Recorder:
    """`lines` are comments and commands in their order.

    With `try_first`, each of the mode's own commands is tried as QEMU's user first, and as root only if that
    fails; `attempts` has the results.
    """

    try_first: bool = False
    lines: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a comment between the commands."""
        self.lines.append(f"# {text}")

    def run(self, *argv: str, own: bool = False, stdin: str = "", enter: Sequence[str] = ()) -> str:
        """Run a command and return its output. `own`: it belongs to the mode, not to the surroundings.

        `enter` runs it in a namespace, which needs root; `stdin` is text for it. Raises LabError.
        """
        command = [*enter, *argv]
        shown = shlex.join(command) + (f" <<'END'\n{stdin}END" if stdin else "")
        self.lines.append(shown)
        if own and self.try_first:
            open_tun = " && ".join([*private_tun(), 'exec "$@"'])  # as on Debian
            drop = ["unshare", "--mount", "sh", "-c", open_tun, "sh", *unprivileged(argv, "tcg")]
            done = _done([*enter, *drop], stdin)
            said = " ".join((done.stderr or done.stdout).split()) if done.returncode else ""
            self.attempts.append(Attempt(argv, stdin, said[-200:]))
            if done.returncode == 0:
                return done.stdout
        done = _done(command, stdin)
        if done.returncode != 0:
            raise LabError(f"'{shown}' failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout


def _done(command: Sequence[str], stdin: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(mortal(command), input=stdin, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired as exc:
        raise LabError(f"'{shlex.join(command)}' did not end within {exc.timeout:.0f} s") from exc
