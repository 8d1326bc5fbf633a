"""compiled_programs.py HEADERS GIVEN ANSWER: compile the programs in the file GIVEN with the kernel headers
in HEADERS, by this Python's bcc, have the running kernel take them, and write the file ANSWER.

It runs in a release's root, where there is bcc and no other package: of qtrace it imports only what needs no
other. GIVEN is `headers.Given`, ANSWER is `headers.Cell`, in JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtrace.errors import TraceError
from qtrace.trace.bpf.compiled import make_module, typed_library
from qtrace.trace.bpf.kernel_calls import KPROBE, PERF_EVENT, RAW_TRACEPOINT
from qtrace.trace.bpf.links import UPROBE_MULTI, links_available

_KINDS = {"perf_event": PERF_EVENT, "raw_tracepoint": RAW_TRACEPOINT}  # the others are kprobes to the kernel


class Trial:
    """What compiled and what was loaded so far."""

    def __init__(self, programs: Mapping[str, str], headers: Path) -> None:
        self.programs, self.headers = programs, headers
        self.compiled: set[str] = set()
        self.loaded: set[str] = set()
        self.reasons: list[str] = []

    def take(self, name: str, text: str) -> bool:
        """Compile a text, and load its programs that are not loaded yet; whether it compiled."""
        try:
            module, _ = make_module(text, self.headers)
        except TraceError as exc:
            self.reasons.append(f"{name}: {exc}".replace(f"{self.headers}/", ""))
            return False
        new = sorted((_functions(module) & set(self.programs)) - self.compiled)
        self.compiled.update(new)
        for program in new:
            kind = self.programs[program]
            place = UPROBE_MULTI if kind.startswith("u") and links_available() else 0
            try:
                module.load_func(program.encode(), _KINDS.get(kind, KPROBE), attach_type=place)
                self.loaded.add(program)
            except TraceError as exc:
                self.reasons.append(str(exc))
        module.cleanup()
        return True


def _functions(module: Any) -> set[str]:
    lib = typed_library()
    numbers = range(lib.bpf_num_functions(module.module))
    return {lib.bpf_function_name(module.module, number).decode() for number in numbers}


def main(headers: Path, given: Path, answer: Path) -> None:
    import bcc

    asked = json.loads(given.read_text())
    os.environ["BCC_KERNEL_SOURCE"] = str(headers)
    trial = Trial(asked["programs"], headers)
    # One that does not compile keeps the others from it: then each instrument is compiled alone.
    if not trial.take("every program", asked["whole"]):
        trial.reasons.clear()
        if trial.take("every program", asked["base"]):
            for name, text in asked["instruments"].items():
                trial.take(name, text)
    for name in sorted(set(asked["programs"]) - trial.compiled)[: not trial.reasons]:
        trial.reasons.append(f"{name}: no text has a program of this name")
    found = {
        "bcc": str(bcc.__version__),
        "compiled": sorted(trial.compiled),
        "loaded": sorted(trial.loaded),
        "reasons": trial.reasons,
    }
    answer.write_text(json.dumps(found))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
