"""A script of an experiment as data: one TOML file in scripts/, the commands to type in the order to type
them.

A step is typed in a guest (`vm1`), in one of the lab's namespaces (`host`, `lan`, `router`, `internet`) or
at a guest's monitor (`vm1.monitor`).
"""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from qtrace.errors import LabError
from qtrace.lab.mode.mode import SPACES

__all__ = ["Probe", "Script", "Step", "load_script", "script_names", "typed_programs"]

MONITOR = ".monitor"
_PLACE = re.compile(rf"vm[1-8](\.monitor)?|{'|'.join(SPACES)}")


@dataclass(frozen=True, slots=True)
class Step:
    """One command. It must end with status 0, or with `fails` with another one.

    `facts` are patterns by name: each has one group and must be found in what the command prints. `aside`
    is a step that is needed and not worth showing. `wait` seconds are allowed for it. With `until` it is
    typed again until that pattern is found.
    """

    name: str
    on: str
    run: str
    fails: bool = False
    aside: bool = False
    wait: float = 30.0
    until: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probe:
    """The packet that is looked for at every place: `run`, typed on `on`, sends `marker` in its payload."""

    on: str
    run: str
    marker: str


@dataclass(frozen=True, slots=True)
class Script:
    """The steps of one experiment in `mode`. `programs` are needed in the guests beside busybox."""

    name: str
    mode: str
    steps: tuple[Step, ...]
    probe: Probe
    guests: int = 1
    programs: tuple[str, ...] = ()


def script_names() -> list[str]:
    """The scripts that come with qtrace."""
    folder = resources.files("qtrace.lab.experiment") / "scripts"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_script(name_or_path: str) -> Script:
    """A script by its name or its path. Raises LabError, with what is wrong or what there is."""
    if name_or_path in script_names():
        text = (resources.files("qtrace.lab.experiment") / "scripts" / f"{name_or_path}.toml").read_text()
    else:
        try:
            text = Path(name_or_path).read_text()
        except (OSError, UnicodeDecodeError) as exc:
            known = ", ".join(script_names())
            raise LabError(
                f"there is no script {name_or_path!r}", hint=f"the scripts are: {known}; or give a file"
            ) from exc
    try:
        return _script(Path(name_or_path).stem, tomllib.loads(text))
    except (tomllib.TOMLDecodeError, TypeError, KeyError, re.error) as exc:
        raise LabError(f"script {name_or_path}: {exc}") from exc


def typed_programs(mode: str) -> tuple[str, ...]:
    """The programs beside busybox that the scripts of a mode type in its guests, of those that this machine
    has: a reader who types the same needs them in a guest too."""
    scripts = [script for script in map(load_script, script_names()) if script.mode == mode]
    names = dict.fromkeys(name for script in scripts for name in script.programs)
    return tuple(name for name in names if shutil.which(name))


def _script(name: str, raw: dict[str, Any]) -> Script:
    if unknown := raw.keys() - {"mode", "guests", "programs", "step", "probe"}:
        raise TypeError(f"there is no key {min(unknown)!r}")
    steps = tuple(Step(**item) for item in raw["step"])
    names = [step.name for step in steps]
    if twice := {item for item in names if names.count(item) > 1}:
        raise TypeError(f"the step {min(twice)} stands twice")
    probe = Probe(**raw["probe"])
    for place in (*(step.on for step in steps), probe.on):
        if not _PLACE.fullmatch(place):
            raise TypeError(f"there is no machine {place!r}")
    for step in steps:
        for pattern in step.facts.values():
            if re.compile(pattern).groups != 1:
                raise TypeError(f"step {step.name}: {pattern!r} needs one group")
    guests, programs = int(raw.get("guests", 1)), tuple(raw.get("programs", ()))
    return Script(name, raw["mode"], steps, probe, guests, programs)
