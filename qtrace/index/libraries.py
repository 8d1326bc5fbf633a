"""Libraries that carry a netdev's frames further: libslirp and libvdeplug, indexed beside QEMU.

A library is recognised by the files in its tree, never by a version. Its files have its name in the index
(`libslirp/src/socket.c`); its functions and types are kept apart from QEMU's with the same name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from qtrace.cache import atomic_dir, cache_dir, locked
from qtrace.distribution.clang_headers import resource_dir
from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite, QtraceError, SourceError
from qtrace.index.facts import Facts
from qtrace.index.inputs import digest
from qtrace.index.prepare import COMMON, Prepared, glib_flags
from qtrace.index.units import Read, read_units
from qtrace.progress import Progress

__all__ = ["Library", "fetch_libraries", "open_library", "read_library"]

_NAMES = ("libslirp", "libvdeplug")


@dataclass(frozen=True)
class Library:
    """`folder` has the library's C files and `includes` its headers, both relative to `root`."""

    name: str
    root: Path
    folder: str
    includes: tuple[str, ...]
    version: str = ""

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The C files to index, relative to `root`, in order."""
        return tuple(
            sorted(str(path.relative_to(self.root)) for path in (self.root / self.folder).glob("*.c"))
        )

    @property
    def indexed(self) -> list[str]:
        """The C files by their names in the index."""
        return [f"{self.name}/{file}" for file in self.files]

    @property
    def label(self) -> str:
        """The library's name in a line of progress."""
        return self.name


def open_library(root: Path) -> Library:
    """The library whose unpacked source is at `root`. Raises SourceError if it is not a known one."""
    root = root.resolve()
    if (root / "src" / "libslirp.h").is_file() and (root / "src" / "slirp.c").is_file():
        return Library("libslirp", root, "src", ("src",), _meson_version(root))
    for source in sorted(root.glob("*/libvdeplug.c")) + sorted(root.glob("src/*/libvdeplug.c")):
        if not source.parent.name.endswith("_static"):
            folder = str(source.parent.relative_to(root))
            return Library("libvdeplug", root, folder, ("include", folder))
    raise SourceError(
        f"{root} is not the source of a library that a netdev uses: it has neither src/libslirp.h nor "
        "libvdeplug.c",
        hint="give the top folder of an unpacked libslirp, vdeplug4 or vde2: qtrace index --library TREE",
    )


def fetch_libraries(progress: Progress, but: Collection[str] = ()) -> tuple[list[Library], list[str]]:
    """The sources of the installed libraries, and for each missing library the reason.

    Libraries named in `but` are skipped. Raises MissingPrerequisite if no source is found.
    """
    found, missing = [], []
    wanted = [name for name in _NAMES if name not in but]
    for name in wanted:
        try:
            installed = next(iter(sorted(Path("/usr/lib").glob(f"*/{name}.so.*"))), None)
            if installed is None:
                missing.append(f"{name} is not installed")
                continue
            package, version = distribution().source_of(installed.resolve())
            found.append(open_library(distribution().fetch_source(package, version, progress)))
        except QtraceError as exc:
            missing.append(f"the source of {name} is not available: {' '.join(str(exc).split())}")
    if missing and not (found or but):
        raise MissingPrerequisite("; ".join(missing), hint="unpack it and give it with --library TREE")
    return found, missing


def read_library(library: Library, qemu: Sequence[Facts], progress: Progress) -> Read:
    """The facts of the library's files, with names that keep them apart from QEMU's facts."""
    progress.step(f"indexing {library.name}: {len(library.files)} files")
    generated = _generated(library)
    attempts = dict.fromkeys(library.files, (COMMON,))
    prepared = Prepared(generated, "", {COMMON: _flags(library, generated)}, attempts, (), ())
    read = read_units(library, prepared, progress)
    return read._replace(facts=_beside(library.name, read.facts, qemu))


def _flags(library: Library, generated: Path) -> tuple[str, ...]:
    return (
        *("-std=gnu11", "-m64", "-D_GNU_SOURCE", "-w", "-ferror-limit=0"),
        *("-Wno-implicit-function-declaration", "-Wno-int-conversion"),
        *("-resource-dir", str(resource_dir())),
        *(word for folder in library.includes for word in ("-I", str(library.root / folder))),
        *("-I", str(generated)),
        *glib_flags(),
    )


def _generated(library: Library) -> Path:
    """The headers that the library's build would generate: its version header, from its template, and
    config.h."""
    made = {"config.h": ""}
    for template in (library.root / library.folder).glob("*-version.h.in"):
        made[template.stem] = _filled(template.read_text(errors="replace"), library.version)
    key = digest(repr(sorted(made.items())))[:16]
    target = cache_dir("generated") / f"{library.name}-{key}"
    with locked(f"generated-{key}"):
        if not target.exists():
            with atomic_dir(target) as work:
                for name, text in made.items():
                    (work / name).write_text(text)
    return target


def _filled(template: str, version: str) -> str:
    numbers = dict(zip(("MAJOR", "MINOR", "MICRO"), version.split("."), strict=False))
    numbers["STRING"] = f'"{version}"'
    return re.sub(r"@\w*?(MAJOR|MINOR|MICRO|STRING)\w*@", lambda found: numbers.get(found[1], "0"), template)


def _meson_version(root: Path) -> str:
    build = root / "meson.build"
    text = build.read_text(errors="replace") if build.is_file() else ""
    found = re.search(r"\bversion\s*:\s*'(\d+(?:\.\d+)*)", text)
    return found[1] if found else ""


def _beside(name: str, facts: Iterable[Facts], qemu: Sequence[Facts]) -> list[Facts]:
    """`facts` with files under `name`, kept apart from QEMU's except for what QEMU calls or fills in."""
    facts = list(facts)
    defined = {function.usr for unit in qemu for function in unit.functions}
    called = {usr for unit in qemu for usr in unit.external} - defined
    own = {function.usr for unit in facts for function in unit.functions}
    usrs = (own - called) | (defined & {usr for unit in facts for usr in unit.external})
    structs = {struct.name for unit in facts for struct in unit.structs}
    structs &= {struct.name for unit in qemu for struct in unit.structs}

    def known(text: str) -> str:
        if text in usrs:
            return f"{name}:{text}"
        struct, dot, _ = text.partition(".")
        if dot and struct in structs:
            return f"{name}:{text}"
        # A function's own variable, or its parameter: see `Store.owner`.
        return " ".join(f"{name}:{word}" if word in usrs else word for word in text.split(" "))

    return [_renamed(unit, name, known, structs) for unit in facts]


def _renamed(unit: Facts, name: str, known: Callable[[str], str], structs: set[str]) -> Facts:
    def file(path: str) -> str:
        return f"{name}/{path}"

    def value(what: str, text: str) -> str:
        if what == "sizeof" and text in structs:
            return f"{name}:{text}"
        return text if what in ("string", "number", "enum", "sizeof") else known(text)

    return replace(
        unit,
        file=file(unit.file),
        functions=[f._replace(usr=known(f.usr), file=file(f.file)) for f in unit.functions],
        external={known(usr): spelling for usr, spelling in unit.external.items()},
        calls=[
            c._replace(caller=known(c.caller), target=known(c.target), file=file(c.file)) for c in unit.calls
        ],
        passes=[
            p._replace(
                caller=known(p.caller),
                callee=known(p.callee),
                value=value(p.what, p.value),
                file=file(p.file),
            )
            for p in unit.passes
        ],
        stores=[
            s._replace(
                owner=known(s.owner),
                value=value(s.what, s.value),
                variable=known(s.variable),
                caller=known(s.caller),
                file=file(s.file),
            )
            for s in unit.stores
        ],
        structs=[s._replace(name=f"{name}:{s.name}") if s.name in structs else s for s in unit.structs],
        variables=[(v, kind, file(place), line) for v, kind, place, line in unit.variables],
    )
