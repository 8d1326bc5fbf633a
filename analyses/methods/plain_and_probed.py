"""What the kernel counts in every measurement, with probes or without, compared by cell."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from qtrace.analyses.methods.data import CELL, Data
from qtrace.analyses.methods.traffic_change import RATE, Compared, Ratio

__all__ = ["compared", "key_of_cell"]


def compared(data: Data) -> dict[tuple[str, ...], list[Compared]]:
    """Cell (`CELL`) -> its measures: one window for each repetition.

    Frames are counted by the guest's own device, in both directions; a measure that lacks a part in one
    measurement is left out.
    """
    found: dict[tuple[str, ...], dict[str, Compared]] = {}
    for key, probed, measured in _measurements(data):
        for measure, above, below in _measures(measured):
            timed = measure == RATE
            made = Compared(measure, Ratio(timed=timed), Ratio(timed=timed))
            one = found.setdefault(key, {}).setdefault(measure, made)
            (one.probed if probed else one.without).add(above, below)
    return {key: list(measures.values()) for key, measures in sorted(found.items())}


def key_of_cell(row: dict[str, object]) -> tuple[str, ...]:
    """A row's cell, as `compared` has it."""
    return tuple(str(row[column]) for column in CELL)


def _measurements(data: Data) -> Iterator[tuple[tuple[str, ...], bool, dict[str, float]]]:
    """(cell, probed, what was counted) of each measurement that went well."""
    devices, threads = data.table("devices"), data.table("threads")
    results = data.table("results")
    results = results[results["status"] == "ok"]
    devices = devices[devices["side"] == "guest"]
    devices = devices.assign(frames=devices["rx_packets"] + devices["tx_packets"])
    # Of an older run the whole column is missing, which `table` shows as text.
    threads["transfers"] = pd.to_numeric(threads["transfers"], errors="coerce")
    every = ["cell", "rep", "probed"]
    sums = {
        "frames": devices.groupby(every)["frames"].sum(),
        "transfers": threads.groupby(every)["transfers"].sum(min_count=1),
    }
    for metric in ("bytes", "throughput"):
        sums[metric] = results[results["metric"] == metric].groupby(every)["value"].sum()
    columns = pd.DataFrame(sums)
    cells = results.drop_duplicates(every).set_index(every)[CELL]
    for row in cells.join(columns, how="inner").reset_index().to_dict("records"):
        counted = {name: float(row[name]) for name in sums if pd.notna(row[name])}
        yield key_of_cell({str(name): value for name, value in row.items()}), bool(row["probed"]), counted


def _measures(counted: dict[str, float]) -> Iterator[tuple[str, float, float]]:
    frames = counted.get("frames", 0.0)
    if not frames:
        return
    if counted.get("bytes") and counted.get("throughput"):
        yield RATE, frames, 8 * counted["bytes"] / counted["throughput"]
        yield "bytes of payload a frame", counted["bytes"], frames
    if "transfers" in counted:
        yield "read and write calls a frame", counted["transfers"], frames
