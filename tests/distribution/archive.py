"""A Debian archive of our own on the loopback: packages and sources made with Debian's tools, by HTTP."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

__all__ = ["ArchiveOfOurs", "serve_archive"]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class ArchiveOfOurs:
    """`url` is what goes into sources.list; the suite is `here`, the component `main`."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url
        self.pool = root / "pool"
        self.pool.mkdir()
        self._lists = 0  # how often the lists were written

    def package(self, name: str, version: str, files: dict[str, bytes], depends: str = "") -> Path:
        """Build a package with these files."""
        home = self.root.parent / f"{name}-{version}"
        for path, content in files.items():
            target = home / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        control = (
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: none <none@localhost>\n"
        )
        control += f"Depends: {depends}\n" * bool(depends) + "Description: for a test\n"
        (home / "DEBIAN").mkdir(parents=True)
        (home / "DEBIAN/control").write_text(control)
        target = self.pool / f"{name}_{version}_all.deb"
        run("dpkg-deb", "--root-owner-group", "-b", str(home), str(target))
        return target

    def source(self, name: str, version: str) -> list[Path]:
        """Build a native source package whose one file names the version."""
        home = self.root.parent / "source" / f"{name}-{version}"
        (home / "debian/source").mkdir(parents=True)
        (home / "debian/source/format").write_text("3.0 (native)\n")
        (home / "VERSION").write_text(f"{version}\n")
        (home / "debian/control").write_text(
            f"Source: {name}\nMaintainer: none <none@localhost>\n\nPackage: {name}\nArchitecture: all\n"
            "Description: for a test\n"
        )
        (home / "debian/changelog").write_text(
            f"{name} ({version}) here; urgency=low\n\n  * None.\n\n"
            " -- none <none@localhost>  Thu, 01 Jan 2026 00:00:00 +0000\n"
        )
        run("dpkg-source", "-b", str(home), cwd=self.pool)
        return sorted(self.pool.glob(f"{name}_{version.partition(':')[2] or version}*"))

    def list(self) -> None:
        """Write the package lists of what is in the pool now."""
        main = self.root / "dists/here/main"
        for folder, name, tool in (
            ("binary-amd64", "Packages", "dpkg-scanpackages"),
            ("source", "Sources", "dpkg-scansources"),
        ):
            (main / folder).mkdir(parents=True, exist_ok=True)
            more = ["--multiversion"] if tool == "dpkg-scanpackages" else []
            (main / folder / name).write_text(run(tool, *more, "pool", cwd=self.root))
        listed = [main / "binary-amd64/Packages", main / "source/Sources"]
        lines = [
            f" {hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_size} "
            f"{path.relative_to(main.parent)}"
            for path in listed
        ]
        (main.parent / "Release").write_text(
            "Suite: here\nCodename: here\nArchitectures: amd64\nComponents: main\n"
            "Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n" + "\n".join(lines) + "\n"
        )
        # A server and apt tell two versions of a file apart by the second in which it was written.
        self._lists += 1
        for path in (*listed, main.parent / "Release"):
            os.utime(path, (self._lists * 60, self._lists * 60))


def run(*argv: str, cwd: Path | None = None) -> str:
    """What a command prints."""
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def serve_archive(folder: Path, name: str = "debian") -> Iterator[ArchiveOfOurs]:
    """An empty archive in `folder`, served under `name` until the block ends."""
    root = folder / name
    root.mkdir()
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield ArchiveOfOurs(root, f"http://127.0.0.1:{server.server_address[1]}/{name}")
        finally:
            server.shutdown()
            thread.join()
