"""The root of a Debian release, made by debootstrap in the cache, and commands that run in it.

The pristine root is kept; each use gets a layer above it, which is removed. A command runs in a mount
namespace of its own, and neither it nor anything that it started outlives this process.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qtrace.cache import cache_dir, locked, need_space
from qtrace.distribution.apt_sources import Archive, archives
from qtrace.distribution.debian import Debian
from qtrace.distribution.identity import distribution
from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.host.owned import own, remove_leftovers
from qtrace.progress import SILENT, Progress

__all__ = ["ReleaseRoot", "build_root", "open_root"]

_HERE = Path(__file__).parent
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TOOLS = "make,git,ca-certificates"  # what a fresh clone takes
# Environment that commands inside get from here: how Python packages are fetched.
_PASSED = re.compile(r"PIP_\w+|https?_proxy|no_proxy|HTTPS?_PROXY|NO_PROXY|SSL_CERT_FILE|REQUESTS_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class ReleaseRoot:
    """A root to run commands in; what they write stays in `work` until it is closed."""

    suite: str
    pristine: Path
    work: Path
    folders: tuple[Path, ...]

    def run(
        self,
        argv: Sequence[str],
        timeout: float,
        cwd: str = "/",
        env: Mapping[str, str] = {},
        log: Path | None = None,
    ) -> tuple[int, str, float]:
        """A command's exit status, what it wrote to both streams, and its seconds; status 124 out of time.
        What it writes can be read in `log` meanwhile, and stays there."""
        passed = {key: value for key, value in os.environ.items() if _PASSED.fullmatch(key)}
        inside = {
            "HOME": "/root",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            **passed,
            **env,
        }
        words = [f"{key}={value}" for key, value in inside.items()]
        enter = ["sh", str(_HERE / "enter.sh"), str(self.pristine), str(self.work)]
        enter.append("\n".join(map(str, self.folders)))
        command = [
            *(
                "setpriv",
                "--pdeathsig=TERM",
                "--",
                sys.executable,
                str(_HERE / "keeper.py"),
                str(os.getpid()),
            ),
            *("unshare", "--mount", "--propagation", "private", "--", *enter),
            *("env", "-i", *words, "sh", "-c", f"cd {shlex.quote(cwd)} && exec {shlex.join(argv)}"),
        ]
        began = time.monotonic()
        with (
            (log or self.work / "said").open("w+", errors="replace") as output,
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.terminate()
                status = 124
            finally:
                process.terminate()
                process.wait()
            seconds = time.monotonic() - began
            output.seek(0)
            return status, output.read(), seconds


@contextlib.contextmanager
def open_root(suite: str, folders: Sequence[Path] = (), progress: Progress = SILENT) -> Iterator[ReleaseRoot]:
    """The root of a release, with these folders of the host's seen read-only, and those that pip is
    configured with; its layer is gone when the block ends, or at the next start if we are killed."""
    if os.geteuid() != 0:
        raise MissingPrerequisite("a release's root needs root", hint="run it with sudo")
    remove_leftovers()
    pristine = build_root(suite, progress)
    with _work_folder(suite) as work:
        yield ReleaseRoot(suite, pristine, work, (*folders, *_folders_of_pip()))


@contextlib.contextmanager
def _work_folder(suite: str) -> Iterator[Path]:
    """A folder beside the roots; gone when the block ends, or at the next start if we are killed."""
    work = cache_dir("roots", "work") / f"qtrace-{suite}-{os.getpid()}"
    with own("dir", str(work)):
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(work)


def build_root(suite: str, progress: Progress = SILENT) -> Path:
    """The pristine root of a release, made once: debootstrap's minbase with make and git, and apt and pip
    configured as they are here. Raises MissingPrerequisite, LabError."""
    target = cache_dir("roots") / suite
    with locked(f"root-{suite}"):
        if target.exists():
            return target
        here = distribution()
        if not isinstance(here, Debian) or not _KEYRING.exists():
            raise MissingPrerequisite(
                "a Debian root is made with Debian's keyring and archive",
                hint="run it on Debian (debian-archive-keyring)",
            )
        own_archives = [one for one in archives(here.etc) if here.own(one) and "security" not in one.uris]
        if not own_archives:
            raise MissingPrerequisite(here.fetch_refused())
        archive = own_archives[0]
        need_space(target.parent, 2000, f"the root of {suite}")
        package = here.fetch_package("debootstrap", progress)
        progress.step(f"building a root of {suite} from {archive.uris}")
        with _work_folder(suite) as work:
            root = work / "root"
            words = ["sh", str(package / "usr/sbin/debootstrap"), "--variant=minbase", f"--include={_TOOLS}"]
            words += [f"--keyring={_KEYRING}", suite, str(root), archive.uris.split()[0]]
            alone = ["setpriv", "--pdeathsig=KILL", "--", "unshare", "--mount", "--propagation", "private"]
            done = subprocess.run(
                [*alone, *words],
                env={**os.environ, "DEBOOTSTRAP_DIR": str(package / "usr/share/debootstrap")},
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
            )
            if done.returncode != 0:
                raise LabError(f"debootstrap {suite} failed: {(done.stdout + done.stderr).strip()[-600:]}")
            _configure(root, archive, suite)
            root.rename(target)
        progress.done(f"root of {suite}: in the cache")
    return target


def _configure(root: Path, archive: Archive, suite: str) -> None:
    """apt and pip as on the host: proxies, certificates, mirrors; the suite is the root's own."""
    sources = root / "etc/apt/sources.list"
    sources.write_text("")
    stanza = Archive(archive.uris, suite, archive.components, str(_KEYRING), archive.trusted).stanza()
    (root / "etc/apt/sources.list.d/debian.sources").write_text(stanza.replace("deb deb-src", "deb"))
    for folder in ("etc/apt/apt.conf.d", "etc/apt/auth.conf.d"):
        for file in Path("/", folder).glob("*"):
            if file.is_file() and not (root / folder / file.name).exists() and "docker" not in file.name:
                shutil.copy(file, root / folder / file.name)
    for name in ("etc/pip.conf", "root/.config/pip/pip.conf", "etc/resolv.conf", "etc/hosts"):
        if Path("/", name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path("/", name), root / name)
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.is_file():  # with the certificates that were added here
        shutil.copy(bundle, root / bundle.relative_to("/"))


def _folders_of_pip() -> list[Path]:
    """Folders of this machine that pip takes packages from, by its configuration and environment."""
    texts = [value for key, value in os.environ.items() if key.startswith("PIP_")]
    for name in ("/etc/pip.conf", "~/.config/pip/pip.conf"):
        with contextlib.suppress(OSError):
            texts.append(Path(name).expanduser().read_text())
    found = [Path(word.removeprefix("file://")) for text in texts for word in re.split(r"[\s=,]+", text)]
    folders = [path for path in found if path.is_absolute() and path.is_dir() and len(path.parts) > 1]
    # A simple index's links may lead to folders beside it.
    return list(dict.fromkeys(path.parent if path.name == "simple" else path for path in folders))
