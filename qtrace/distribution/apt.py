"""apt with package lists and a cache of qtrace's own, for which source packages are enabled.

The user's apt configuration and lists stay unchanged; mirrors, proxies and preferences are taken from them.
apt checks every signature and hash.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from qtrace.cache import cache_dir, need_space
from qtrace.distribution.apt_sources import Archive
from qtrace.distribution.base import NotListed, NotOnMirror
from qtrace.errors import MissingPrerequisite
from qtrace.progress import Progress

__all__ = ["Apt", "no_archive", "read_failure"]

_FRESH = 600  # seconds: younger lists count as up to date


class Apt:
    """apt's tools on `archives`, which belong to the distribution `name`, or on its release `suite`.

    Updates and backports of an archive have other suites, so they are left out if `suite` is given.
    """

    def __init__(self, name: str, archives: Sequence[Archive], suite: str = "") -> None:
        self.name, self.suite = name, suite
        self.where = f"release {suite}" if suite else name
        self.archives = list(archives)
        if suite:
            of_suite = [replace(one, suites=suite) for one in archives if "security" not in one.uris]
            self.archives = list(dict.fromkeys(of_suite))
        self.root = cache_dir(f"apt-{suite}" if suite else "apt")
        for part in ("lists/partial", "cache/archives/partial", "sources"):
            (self.root / part).mkdir(parents=True, exist_ok=True)

    @property
    def _stamp(self) -> Path:
        return self.root / "sources" / "qtrace.sources"

    def ask(self, progress: Progress, *argv: str, cwd: Path | None = None) -> str:
        """The output of one tool of apt. Missing package lists are read before; lists that are too old for
        the question are read again.

        Raises NotListed, NotOnMirror, or MissingPrerequisite with apt's message.
        """
        if not any((self.root / "lists").glob("*Release")):
            self.update(progress)
            return self._run(*argv, cwd=cwd)
        try:
            return self._run(*argv, cwd=cwd)
        except MissingPrerequisite as exc:
            if self._fresh():
                raise
            try:
                self.update(progress)
            except MissingPrerequisite as worse:
                raise MissingPrerequisite(
                    f"{exc}\nThe package lists here are of {self._age()}, and cannot be read again: {worse}",
                    hint="check that the package mirrors can be reached",
                ) from exc
        return self._run(*argv, cwd=cwd)

    def update(self, progress: Progress) -> None:
        """Read the package lists. Raises MissingPrerequisite."""
        if not self.archives:
            raise MissingPrerequisite(
                no_archive(self.name),
                hint="add it there, or give the tree with 'qtrace index --source TREE'",
            )
        need_space(self.root, 300, "package lists")
        progress.step(f"reading the package lists of {self.where} (the project's own copy)")
        self._stamp.write_text("\n".join(archive.stanza() for archive in self.archives))
        try:
            # Without this option apt uses old lists if the mirror is unreachable, and reports success.
            self._run("apt-get", "update", "-oAPT::Update::Error-Mode=any")
        except MissingPrerequisite:
            if any((self.root / "lists").glob("*Release")):
                os.utime(self._stamp, (0, 0))
            else:  # the release may not exist: remove all its files
                shutil.rmtree(self.root, ignore_errors=True)
            raise

    def _fresh(self) -> bool:
        return self._stamp.exists() and time.time() - self._stamp.stat().st_mtime < _FRESH

    def _age(self) -> str:
        newest = max(path.stat().st_mtime for path in (self.root / "lists").glob("*Release"))
        return f"{datetime.fromtimestamp(newest):%Y-%m-%d}"

    def _run(self, *argv: str, cwd: Path | None = None) -> str:
        tool, *rest = argv
        command = [
            tool,
            "-q",
            f"-oDir::State::lists={self.root}/lists",
            f"-oDir::Cache={self.root}/cache",
            "-oDir::Etc::sourcelist=/dev/null",
            f"-oDir::Etc::sourceparts={self.root}/sources",
            "-oAPT::Sandbox::User=root",
            "-oAcquire::Retries=3",
            # What is installed here is no package of another release, even if it is newer than all of that.
            *(["-oDir::State::status=/dev/null"] if self.suite else []),
            *rest,
        ]
        env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        try:
            done = subprocess.run(
                command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError as exc:
            raise MissingPrerequisite(
                f"{tool} is missing, although this is {self.name}",
                hint="give the needed files by hand (see 'qtrace index --help')",
            ) from exc
        if done.returncode != 0:
            said = done.stderr.strip() or done.stdout.strip()
            raise read_failure(f"{tool} {' '.join(rest)}", said, self.where)
        return done.stdout


def no_archive(name: str) -> str:
    """The message for apt sources without any archive of the distribution `name`."""
    return f"no archive of {name} is named in /etc/apt/sources.list or /etc/apt/sources.list.d"


def read_failure(command: str, said: str, where: str) -> MissingPrerequisite:
    """The error for a message of apt (in English): a version that is not listed in `where`, a file that is
    listed but missing, or any other."""
    lines = [line for line in said.splitlines() if line.strip()]
    end = "\n".join(lines[-4:])
    if "does not have a Release file" in said:
        return NotListed(
            f"the mirrors that apt is configured with have no {where}: {lines[-1]}",
            hint="check the name of the release",
        )
    # The words after the number come from the server.
    lost = re.search(r"(\S+)\s+404\s+\S|File not found - (\S+)", said)
    if lost and not command.startswith("apt-get update"):
        file = lost[1] or lost[2]
        return NotOnMirror(
            f"the package lists of {where} name a file that the mirror does not have (404): {file}",
            hint="the mirror is incomplete or in the middle of an update: try another one, or later",
        )
    if re.search(
        r"Version '\S+' for '\S+' was not found|Can not find version|Unable to find a source package"
        r"|Unable to locate package|No packages found|Can't select candidate version"
        r"|Can't find a source to download version",
        said,
    ):
        return NotListed(
            f"the package lists of {where} do not have it: '{command}' said: {lines[-1] if lines else ''}",
            hint="the installed packages may be older than the mirror's: run 'apt-get update', then "
            "'apt-get upgrade'; or give the tree with 'qtrace index --source TREE'",
        )
    return MissingPrerequisite(
        f"'{command}' failed:\n{end}", hint="check that the package mirrors can be reached"
    )
