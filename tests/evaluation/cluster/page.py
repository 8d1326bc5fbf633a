"""The measured part of docs/campaign.md on Dask clusters: what handing out a block costs.

    PYTHONPATH=tests/evaluation:tests/campaign python tests/evaluation/cluster/page.py [BLOCKS]

With nothing else running; some minutes for ten thousand blocks.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from block_cost import Cost, measure
from pages import ROOT, with_part

from qtrace.conditions import processor

PAGE = "docs/campaign.md#cluster-cost"
INPUTS = {
    "docs/campaign.md#cluster-cost": (
        "qtrace/campaign/cluster.py",
        "qtrace/campaign/block_task.py",
        "qtrace/campaign/block_folder.py",
        "tests/evaluation/cluster",
    )
}
BLOCKS = 10_000


def main() -> None:
    blocks = int(sys.argv[1]) if len(sys.argv) > 1 else BLOCKS
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="qtrace-cost-") as folder:
        cost = measure(Path(folder), blocks)
    part = "\n".join([*text(cost, load), ""])
    file = ROOT / PAGE.partition("#")[0]
    file.write_text(with_part(PAGE, part))
    print(part)


def text(cost: Cost, load: float) -> Iterator[str]:
    """The part's lines."""
    mean, half = cost.block
    yield "#### What handing out a block costs"
    yield ""
    yield (
        f"{cost.blocks:,} blocks that do nothing but write an empty run, by one worker of this machine "
        f"({processor()}; load {load:.1f} when it began; Python {platform.python_version()}, distributed "
        f"{version('distributed')}): {cost.whole:.0f} s in all. Without what the blocks' commands take "
        f"themselves ({1000 * cost.command:.3g} ms on the mean), a block costs {1000 * mean:.3g} ms "
        f"(± {1000 * half:.2g}: 95 % interval over ten parts of the campaign) for Dask, a process, the locks "
        f"and the files. To find all of them done takes {cost.again:.1f} s (`make cluster-cost`)."
    )
    yield ""
    yield "| process | memory before, MiB | at most, MiB |"
    yield "| --- | ---: | ---: |"
    for name, (idle, most) in cost.memory.items():
        yield f"| {name} | {idle:.0f} | {most:.0f} |"
    yield ""
    yield (
        "Not shown: how much faster several machines are than one, which no single machine can show; a "
        "folder that is shared over a network; joining ten thousand real blocks, each of which keeps the "
        "whole plan."
    )


if __name__ == "__main__":
    main()
