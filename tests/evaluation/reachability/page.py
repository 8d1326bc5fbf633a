"""Writes the generated parts of docs/reachability.md: `make reach`, as root.

    PYTHONPATH=tests:tests/evaluation python tests/evaluation/reachability/page.py [vhost]

A part stands between `<!-- VENUE -->` and `<!-- end -->`. Nothing is written unless all modes could be tried:
for vhost-user that takes DPDK's testpmd (Debian: dpdk-dev). With `vhost` only the part is written that says
what follows where there is no /dev/vhost-net.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from absent_vhost import vhost_table
from pages import marked, with_line_of

from qtrace.lab.mode.mode import load_modes

PAGE = Path(__file__).parents[3] / "docs" / "reachability.md"
INPUTS = {"docs/reachability.md": ("qtrace/lab", "tests/evaluation/reachability")}


def main() -> None:
    if sys.argv[1:] == ["vhost"]:
        before = PAGE.read_text()
        PAGE.write_text(with_line_of(before, _with_part(before, "vhost", vhost_table())))
        return
    modes = load_modes()
    machine = [mode.name for mode in modes if mode.kvm or any("/vhost" in need for need in mode.needs)]
    parts = {"host": [mode.name for mode in modes if mode.name not in machine], "vm": machine}
    text = PAGE.read_text()
    for venue, names in parts.items():
        words = ["reach", *names, "--venue", venue, "--format", "md"]
        done = subprocess.run([sys.executable, "-m", "qtrace", *words], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"'qtrace {' '.join(words)}' ended with status {done.returncode}: nothing is written")
        text = _with_part(text, venue, done.stdout)
    text = _with_part(text, "vhost", vhost_table())
    PAGE.write_text(marked("docs/reachability.md", text))


def _with_part(text: str, name: str, part: str) -> str:
    before, _, rest = text.partition(f"<!-- {name} -->")
    return f"{before}<!-- {name} -->\n\n{part.strip()}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"


if __name__ == "__main__":
    main()
