"""Debian packages and sources, unpacked into the cache; nothing is installed.

The package lists are the project's own (with `deb-src` switched on), so the user's apt configuration
and lists stay as they are; the mirrors are the user's. apt checks every signature and hash.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qtrace.cache import atomic_dir, atomic_file, cache_dir, locked, need_space
from qtrace.errors import MissingPrerequisite
from qtrace.progress import SILENT, Progress

__all__ = ["fetch_package", "fetch_source", "newest_source", "resolve_meta", "source_of"]

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~:-]*")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One archive of the user's apt sources."""

    uris: str
    suites: str
    components: str
    signed_by: str

    def stanza(self) -> str:
        """As deb822, with the sources switched on."""
        lines = [
            "Types: deb deb-src",
            f"URIs: {self.uris}",
            f"Suites: {self.suites}",
            f"Components: {self.components}",
        ]
        if self.signed_by:
            lines.append(f"Signed-By: {self.signed_by}")
        return "\n".join(lines) + "\n"


def _deb822_entries(text: str) -> Iterator[_Entry]:
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += "\n" + line
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        if "deb" in fields.get("types", "").split():
            yield _Entry(
                fields.get("uris", ""),
                fields.get("suites", ""),
                fields.get("components", ""),
                fields.get("signed-by", ""),
            )


def _one_line_entries(text: str) -> Iterator[_Entry]:
    pattern = re.compile(
        r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<rest>.+)$"
    )
    for line in text.splitlines():
        match = pattern.match(line.split("#")[0].strip())
        if match:
            options = dict(
                option.split("=", 1) for option in (match["options"] or "").split() if "=" in option
            )
            yield _Entry(match["uri"], match["suite"], match["rest"], options.get("signed-by", ""))


def _debian_entries(etc: Path = Path("/etc/apt")) -> list[_Entry]:
    """The user's archives that are Debian's own; third parties rarely carry sources."""
    entries: list[_Entry] = []
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        if path.suffix == ".sources":
            entries += _deb822_entries(text)
        elif path.suffix == ".list":
            entries += _one_line_entries(text)
    return [
        entry
        for entry in entries
        if "main" in entry.components.split()
        and ("debian-archive" in entry.signed_by or "debian" in entry.uris)
    ]


class _Apt:
    """apt with lists and cache of our own; the user's proxies and preferences still count."""

    def __init__(self, suite: str = "") -> None:
        if not shutil.which("apt-get"):
            raise MissingPrerequisite(
                "apt-get is not here: this is not a Debian system",
                hint="give what is needed by hand (see 'qtrace index --help')",
            )
        self.suite = suite
        self.root = cache_dir(f"apt-{suite}" if suite else "apt")
        for part in ("lists/partial", "cache/archives/partial", "sources"):
            (self.root / part).mkdir(parents=True, exist_ok=True)

    def run(self, *argv: str, cwd: Path | None = None) -> str:
        """Run one apt tool; raises MissingPrerequisite with what it said."""
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
            *rest,
        ]
        env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if done.returncode != 0:
            said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-4:])
            raise MissingPrerequisite(
                f"'{tool} {' '.join(rest)}' failed:\n{said}",
                hint="check that the package mirrors can be reached",
            )
        return done.stdout

    def update(self, progress: Progress) -> None:
        entries = _debian_entries()
        if self.suite:  # the same archive's: its updates and backports have other names
            entries = [replace(entry, suites=self.suite) for entry in entries if "security" not in entry.uris]
            entries = list(dict.fromkeys(entries))
        if not entries:
            raise MissingPrerequisite(
                "no Debian archive is named in /etc/apt/sources.list or /etc/apt/sources.list.d",
                hint="add Debian's archive there, or give the tree with 'qtrace index --source TREE'",
            )
        need_space(self.root, 300, "package lists")
        progress.step("reading Debian's package lists (the project's own copy)")
        (self.root / "sources" / "qtrace.sources").write_text("\n".join(e.stanza() for e in entries))
        try:
            self.run("apt-get", "update")
        except MissingPrerequisite:
            if self.suite:  # there may be no such release: nothing stays of it
                shutil.rmtree(self.root, ignore_errors=True)
            raise

    def ask(self, progress: Progress, *argv: str, cwd: Path | None = None) -> str:
        """`run`, with the lists read first where there are none, and again where they are too old."""
        if not any((self.root / "lists").glob("*Sources*")):
            self.update(progress)
            return self.run(*argv, cwd=cwd)
        try:
            return self.run(*argv, cwd=cwd)
        except MissingPrerequisite:
            self.update(progress)
            return self.run(*argv, cwd=cwd)


def _folder(version: str) -> str:
    """A version as a folder's name; a colon (the epoch) would split overlay and search paths."""
    return version.replace(":", "_")


def _checked(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise MissingPrerequisite(f"{text!r} is not the name or version of a Debian package")
    return text


def resolve_meta(name: str, progress: Progress = SILENT) -> tuple[str, str]:
    """What a meta package stands for now: (`linux-image-6.1.0-56-amd64`, `6.1.192-2`).

    The answer is kept in the cache, so that it does not change under a user's feet; deleting the
    cache asks again.
    """
    _checked(_NAME, name)
    kept = cache_dir("packages") / f"{name}.meta.json"
    with locked("apt"):
        if kept.exists():
            package, version = json.loads(kept.read_text())
            return str(package), str(version)
        shown = _Apt().ask(progress, "apt-cache", "show", "--no-all-versions", name)
        match = re.search(r"^Depends: (\S+) \(= ([^)]+)\)", shown, re.MULTILINE)
        if not match:
            raise MissingPrerequisite(f"Debian's {name} does not name the one package that it stands for")
        answer = (match[1], match[2])
        with atomic_file(kept) as beside:
            beside.write_text(json.dumps(answer))
        return answer


def fetch_package(
    name: str, progress: Progress = SILENT, version: str | None = None, suite: str = ""
) -> Path:
    """The folder in the cache where Debian's package `name` is unpacked (`usr/`, `lib/`, `boot/` …).

    Without `version` a copy that the cache already has is good enough. `suite` is another Debian release
    than this one, such as `bookworm-backports`; its packages are kept apart.
    """
    _checked(_NAME, name)
    wanted = _checked(_VERSION, version) if version else None
    home = cache_dir("packages", suite) if suite else cache_dir("packages")
    with locked("apt"):
        have = sorted(home.glob(f"{name}_{_folder(wanted) if wanted else '*'}"))
        if have:
            return have[-1]
        need_space(home, 1200, f"the package {name}")
        apt = _Apt(suite)
        if wanted is None:
            policy = apt.ask(progress, "apt-cache", "show", "--no-all-versions", name)
            match = re.search(r"^Version: (\S+)", policy, re.MULTILINE)
            if not match:
                raise MissingPrerequisite(f"Debian has no package {name}")
            wanted = match[1]
        progress.step(f"downloading {name} {wanted}")
        target = home / f"{name}_{_folder(wanted)}"
        with atomic_dir(target) as work:
            apt.ask(progress, "apt-get", "download", f"{name}={wanted}", cwd=work)
            archive = next(work.glob("*.deb"))
            _unpack(["dpkg-deb", "-x", str(archive), str(work)])
            archive.unlink()
        progress.done(f"{name} {wanted}: unpacked into the cache")
        return target


def newest_source(package: str, suite: str, progress: Progress = SILENT) -> str:
    """The version of a source package in another Debian release than this one, such as `trixie`."""
    _checked(_NAME, package)
    _checked(_NAME, suite)
    with locked("apt"):
        shown = _Apt(suite).ask(progress, "apt-cache", "showsrc", "--only-source", package)
    versions = re.findall(r"^Version: (\S+)", shown, re.MULTILINE)
    if not versions:
        raise MissingPrerequisite(f"Debian {suite} has no source package {package}")
    newest = str(versions[0])
    for version in versions[1:]:
        if subprocess.run(["dpkg", "--compare-versions", version, "gt", newest]).returncode == 0:
            newest = version
    return newest


def fetch_source(package: str, version: str, progress: Progress = SILENT, suite: str = "") -> Path:
    """The unpacked tree of a Debian source package at exactly `version`, Debian's patches applied.

    `suite` is the Debian release that has it, where that is not this one.
    """
    _checked(_NAME, package)
    _checked(_VERSION, version)
    target = cache_dir("sources") / f"{package}_{_folder(version)}"
    with locked("apt"):
        if target.exists():
            return target
        need_space(target.parent, 2000, f"the source of {package}")
        progress.step(f"downloading the source of {package} {version}")
        with atomic_dir(target.with_name(f"{target.name}.download")) as work:
            _Apt(suite).ask(
                progress, "apt-get", "source", "--download-only", f"{package}={version}", cwd=work
            )
        dsc = next(work.with_name(f"{target.name}.download").glob("*.dsc"))
        progress.step(f"unpacking the source of {package} {version}")
        try:
            with atomic_dir(target) as work:
                # apt has checked the hashes against the signed lists already.
                _unpack(["dpkg-source", "--no-check", "--no-copy", "-x", str(dsc), str(work / "tree")])
                tree = work / "tree"
                for item in tree.iterdir():
                    item.rename(work / item.name)
                tree.rmdir()
        finally:
            shutil.rmtree(dsc.parent, ignore_errors=True)
        progress.done(f"source of {package} {version}: unpacked into the cache")
        return target


def source_of(file: Path) -> tuple[str, str]:
    """The (source package, source version) that the installed `file` was built from."""
    hint = "give the tree that it was built from with 'qtrace index --source TREE'"
    found = _query(["dpkg-query", "-S", str(file)])
    if not found and not str(file).startswith("/usr"):
        found = _query(["dpkg-query", "-S", f"/usr{file}"])
    if not found:
        raise MissingPrerequisite(f"{file} does not belong to a Debian package", hint=hint)
    package = found.split(": ")[0].split(",")[0]
    answer = _query(["dpkg-query", "-W", "-f", "${source:Package} ${source:Version}", package])
    if answer.count(" ") != 1:
        raise MissingPrerequisite(f"dpkg does not know what {package} was built from", hint=hint)
    name, version = answer.split(" ")
    return name, version


def _query(command: Sequence[str]) -> str:
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.stdout.strip() if done.returncode == 0 else ""


def _unpack(command: list[str]) -> None:
    if not shutil.which(command[0]):
        raise MissingPrerequisite(
            f"{command[0]} is not installed", hint="run: apt-get install dpkg-dev (or 'make setup')"
        )
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise MissingPrerequisite(f"'{' '.join(command)}' failed: {done.stderr.strip()[-400:]}")
