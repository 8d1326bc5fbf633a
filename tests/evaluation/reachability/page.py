"""Writes the generated parts of docs/reachability.md: `make reach`, as root.

A part stands between `<!-- VENUE -->` and `<!-- end -->`. Nothing is written unless all modes could be tried:
for vhost-user that takes DPDK's testpmd (Debian: dpdk-dev).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pages import marked

from qtrace.lab.mode.mode import load_modes

PAGE = Path(__file__).parents[3] / "docs" / "reachability.md"
INPUTS = {"docs/reachability.md": ("qtrace/lab", "tests/evaluation/reachability")}


def main() -> None:
    modes = load_modes()
    machine = [mode.name for mode in modes if mode.kvm or any("/vhost" in need for need in mode.needs)]
    parts = {"host": [mode.name for mode in modes if mode.name not in machine], "vm": machine}
    text = PAGE.read_text()
    for venue, names in parts.items():
        words = ["reach", *names, "--venue", venue, "--format", "md"]
        done = subprocess.run([sys.executable, "-m", "qtrace", *words], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"'qtrace {' '.join(words)}' ended with status {done.returncode}: nothing is written")
        part = f"<!-- {venue} -->\n\n{done.stdout.strip()}\n\n<!-- end -->"
        before, _, rest = text.partition(f"<!-- {venue} -->")
        text = before + part + rest.partition("<!-- end -->")[2]
    PAGE.write_text(marked("docs/reachability.md", text))


if __name__ == "__main__":
    main()
