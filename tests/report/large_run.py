"""A run of as many cells as wanted, in the shape of a real one, for tests of large campaigns.

The rows are those of the stored run `format-2/compared` (every table of `qtrace bench quick`), taken again
for each cell; the speeds are drawn from a seeded distribution around ratios that are known (`ratio_of`).
"""

from __future__ import annotations

import functools
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from qtrace.analyses.methods.data import AGAIN
from qtrace.store.run import RunReader, RunWriter
from qtrace.store.run_pack import pack_table
from qtrace.store.run_schema import SCHEMAS

__all__ = ["BACKENDS", "NICS", "cells_of", "make_large_run", "ratio_of"]

REAL = Path(__file__).parents[1] / "store/runs/format-2/compared"
NICS = ("virtio-net-pci", "e1000", "e1000e", "vmxnet3", "rtl8139", "pcnet", "tulip", "i82559er")
# Back end -> how fast it is made, of tap. The first is the baseline.
BACKENDS = {"tap+qemu": 1.0, "user+qemu": 0.12, "tap+vhost-net": 1.5, "vde+qemu": 0.8, "socket+qemu": 0.4,
            "stream+qemu": 0.5, "dgram+qemu": 0.3, "hubport.tap+qemu": 0.9}  # fmt: skip
_TRAFFIC = ("tx+tcp", "rx+tcp", "both+rr")
_NOISE = 0.03  # of a measurement, the standard deviation of its logarithm
_AT_ONCE = 512  # cells in memory
_TIMES = ("rtt_mean", "rtt_p50", "rtt_p90", "rtt_p99")


def cells_of(number: int) -> list[str]:
    """The ids of the first `number` cells: every NIC on every back end, for one traffic after the other."""
    pairs = [(nic, back) for nic in NICS for back in BACKENDS]
    found = (f"{nic}+{back}+{traffic}" for traffic in _traffic() for nic, back in pairs)
    return list(itertools.islice(found, number))


def ratio_of(cell: str) -> float:
    """The true speed of a cell over that of its baseline."""
    back = "+".join(cell.split("+")[1:3])
    odd = 1 + (zlib.crc32(cell.encode()) % 1000 - 500) / 2500  # each cell's own, within a fifth
    return 1.0 if BACKENDS[back] == 1.0 else BACKENDS[back] * odd


def make_large_run(path: Path, number: int, *, seed: int = 1, again: int = 0) -> Path:
    """Write a run of `number` cells to `path`, packed as `qtrace merge` packs one; `again` of its baselines
    are measured twice."""
    real = RunReader.open(REAL)
    tables = {name: real.table(name).to_pandas() for name in SCHEMAS}
    once = sorted(cells_of(number))
    blocks = sorted({_block(cell) for cell in once})
    twice = [f"{cell}{AGAIN}" for cell in once if ratio_of(cell) == 1][:again]
    cells = sorted([*once, *twice])
    plan = {**real.meta["plan"], "title": "", "cells": [], "blocks": blocks}
    meta = {
        **real.meta,
        "id": path.name,
        "plan": plan,
        "left_out": [],
        "precision": [],
        "paths": _paths(real),
    }
    with RunWriter.create(path, meta) as writer:
        for name, frame in tables.items():
            pack_table(path, name, _chunks(name, frame, cells, seed))
        writer.finish("complete")
    return path


def _traffic() -> Iterator[str]:
    settings = itertools.product((576, 1500, 9000), (64, 256, 1024, 4096, 16384, 65000), (1, 2, 4, 8, 16, 32))
    for mtu, size, streams in settings:
        for traffic in _TRAFFIC:
            yield f"{traffic}+mtu-{mtu}+size-{size}+streams-{streams}"


def _paths(real: RunReader) -> list[dict[str, Any]]:
    """Each pair has the real path of its model."""
    of = ("nic", "netdev", "datapath", "direction")
    known = {tuple(path[name] for name in of): path for path in real.meta["paths"]}
    made = []
    for nic, back, way in itertools.product(NICS, BACKENDS, ("tx", "rx")):
        model = tuple(_model(f"{nic}+{back}+{way}+tcp").split("+")[:4])
        netdev, datapath = back.split("+")
        made.append({**known[model], "nic": nic, "netdev": netdev, "datapath": datapath})
    return made


def _block(cell: str) -> str:
    nic, _, _, *rest = cell.split("+")
    return "+".join((nic, *rest))


def _chunks(name: str, frame: pd.DataFrame, cells: list[str], seed: int) -> Iterator[pa.Table]:
    by_model = {str(cell): part for cell, part in frame.groupby("cell", sort=False)}
    for start in range(0, len(cells), _AT_ONCE):
        some = cells[start : start + _AT_ONCE]
        parts = [(cell, part) for cell in some if (part := by_model.get(_model(cell))) is not None]
        if not parts:
            continue
        made = pd.concat([part for _, part in parts], ignore_index=True)
        made["cell"] = np.repeat([cell for cell, _ in parts], [len(part) for _, part in parts])
        if name == "results":
            made = _drawn(made, seed)
        yield pa.Table.from_pandas(made, schema=SCHEMAS[name], preserve_index=False)


@functools.cache
def _model(cell: str) -> str:
    """The real cell whose rows are taken."""
    nic, netdev, datapath, way, workload, *_ = cell.split("+")
    netdev = netdev if netdev == "user" else "tap"
    nic = nic if nic == "e1000" and datapath == "qemu" else "virtio-net-pci"
    return "+".join((nic, netdev, datapath, way, workload))


def _drawn(results: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The measurements' speeds are the cell's own; what they carried follows."""
    parts = results["cell"].str.split("+", n=3, expand=True)
    results["nic"], results["netdev"], results["datapath"] = parts[0], parts[1], parts[2]
    results["workload"] = parts[3].str.split("+", n=1).str[1].str.replace("+", " ")
    every = results[["cell", "rep", "probed"]].drop_duplicates().reset_index(drop=True)
    drawn: dict[tuple[Any, ...], float] = {}
    for cell, rep, probed in every.itertuples(index=False):
        noise = np.random.default_rng((seed, zlib.crc32(f"{cell} {rep} {probed}".encode()))).normal(0, _NOISE)
        base = 1 + zlib.crc32(cell.split("+")[0].encode()) % 7 + zlib.crc32(_block(cell).encode()) % 100 / 50
        drawn[cell, rep, probed] = base * ratio_of(cell) * float(np.exp(noise))
    keys = zip(results["cell"], results["rep"], results["probed"], strict=True)
    speed = np.array([drawn[key] for key in keys])
    metric, value = results["metric"], results["value"].to_numpy(float)
    value = np.where(metric == "throughput", 1e8 * speed, value)
    value = np.where(metric == "bytes", 1e8 * speed * results["seconds"] / 8 * 0.9, value)
    for place, name in enumerate(_TIMES):
        value = np.where(metric == name, 1e3 * (1 + place / 4) / speed, value)
    return results.assign(value=value)
