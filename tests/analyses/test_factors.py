"""The law of the factors: their product is the measured ratio, on a real run and on made-up numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtrace.analyses.factors import (
    CALLS,
    COLUMNS,
    CPU,
    FRAME_BYTES,
    QUESTION,
    RATIO,
    REST,
    TIME_A_CALL,
    analyse,
)
from qtrace.analyses.methods.data import Data
from qtrace.analyses.methods.registry import analyses
from qtrace.analyses.methods.traced_costs import LEAST_SAMPLES
from qtrace.report.answers import Answers
from qtrace.store.run import RunReader

RUNS = Path(__file__).parents[1] / "store" / "runs"
PAIR = ["nic", "netdev", "datapath", "than_nic", "than_netdev", "than_datapath", "way", "workload"]
VIRTIO, E1000 = "virtio-net-pci", "e1000"
# The pairs that must be answered; each in both directions and for round trips.
ASKED = (
    (VIRTIO, "user", "qemu", VIRTIO, "tap", "qemu"),
    (VIRTIO, "tap", "vhost-net", VIRTIO, "tap", "qemu"),
    (VIRTIO, "tap", "qemu", E1000, "tap", "qemu"),
)


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    return analyse(Answers(RunReader.open(RUNS / "format-2" / "compared")).data)


def groups(frame: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    for key, part in frame.groupby([*PAIR, "metric"], sort=False):
        yield tuple(str(item) for item in key), part


def product_of(rows: pd.DataFrame) -> float:
    return math.prod(rows["times"])


def assert_adds_up(part: pd.DataFrame) -> None:
    """The leaves multiply to the ratio, and the parts of each factor to the factor."""
    whole = part.iloc[0]
    assert whole["factor"] == RATIO and list(part["factor"]).count(REST) == 1
    assert product_of(part[part["leaf"]]) == pytest.approx(whole["times"], rel=1e-6)
    named = part[~part["factor"].isin([RATIO, REST])]
    for row in named[~named["leaf"]].to_dict("records"):
        way = " / ".join(filter(None, (row["of"], row["factor"])))
        parts = named[named["of"] == way]
        assert len(parts) and product_of(parts) == pytest.approx(row["times"], rel=1e-6), way


def test_the_factors_of_a_real_run_multiply_to_its_ratios(real: pd.DataFrame) -> None:
    seen = {}
    for key, part in groups(real):
        assert_adds_up(part)
        whole, rest = part.iloc[0], part[part["factor"] == REST].iloc[0]
        explained = whole["times"] / rest["times"]
        assert whole["low"] <= explained <= whole["high"], key
        # Every repetition has its counters, so nothing is left over.
        assert rest["times"] == pytest.approx(1) and set(part["n"]) == {3}
        seen[key] = part
    for pair in ASKED:
        for way, workload in (("tx", "tcp"), ("rx", "tcp"), ("both", "rr")):
            assert [key for key in seen if key[:8] == (*pair, way, workload)], (pair, way)
    assert len(seen) == 12


def test_the_measured_ratio_is_that_of_the_other_analyses(real: pd.DataFrame) -> None:
    answers = Answers(RunReader.open(RUNS / "format-2" / "compared"))
    for name in ("throughput", "latency"):
        for row in answers.ask(name):
            mine = real[(real["factor"] == RATIO) & (real["metric"] == row["metric"])]
            for part in ("nic", "netdev", "datapath", "way"):
                mine = mine[mine[part] == row[part]]
            mine = mine[mine["than_nic"] == row["nic"]]
            if len(mine):
                found = [mine.iloc[0][at] for at in ("times", "low", "high")]
                assert found == pytest.approx([row["ratio"], row["ratio_low"], row["ratio_high"]])


def test_a_frame_of_user_carries_what_an_ethernet_frame_can(real: pd.DataFrame) -> None:
    """libslirp declines segmentation offload: 1,448 bytes of payload at most; a tap's frames are larger."""
    part = real[(real["factor"] == FRAME_BYTES) & (real["nic"] == VIRTIO) & (real["netdev"] == "user")]
    assert len(part) == 2 and (part["value"] <= 1460).all() and (part["than_value"] > 10_000).all()


def test_a_run_of_one_cell_or_format_1_has_no_pair() -> None:
    for name in ("format-1/measured", "format-2/measured", "format-2/recorded"):
        answers = Answers(RunReader.open(RUNS / name))
        assert answers.ask("factors") == ()


# Below this line every number is made up.

CELLS = tuple(f"{nic}+{back}+{way}" for nic in ("e1000", VIRTIO) for back in ("tap+qemu", "tap+vhost-net")
              for way in ("tx+tcp", "both+rr"))  # fmt: skip
THREADS = ("CPU 0/KVM", "qemu-system-x86", "vhost-77")
TABLES = ("results", "devices", "threads", "syscalls", "cpu_functions")


def some(random: Random) -> float:
    """A positive number of any size."""
    return 10 ** random.uniform(-4, 4)


def numbers(random: Random) -> Data:
    """Tables of two or three repetitions, with or without the parts of CPU time, calls and samples."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    split = random.random() < 0.7
    for cell in CELLS:
        for rep in range(1, random.randint(2, 3) + 1):
            key = {"cell": cell, "rep": rep, "probed": False}
            if random.random() < 0.9:  # else it has no counters
                counts = {"rx_packets": random.randint(0, 10**6), "tx_packets": random.randint(1, 10**6)}
                rows["devices"].append(key | {"side": "guest", "device": "eth0"} | counts)
            window = some(random)
            for metric in ("rtt_mean",) if cell.endswith("rr") else ("throughput", "bytes"):
                result = {"metric": metric, "value": 1e6 * some(random), "unit": "", "status": "ok"}
                rows["results"].append(key | result | {"seconds": window})
            for thread in THREADS:
                seconds = window * random.choice([0.0, random.random(), 2.0])
                system = seconds * random.choice([0.0, random.random(), 1.0])
                parts = {"system": system, "guest": (seconds - system) * random.random()}
                spent = {"thread": thread, "tid": 1, "seconds": seconds, "voluntary": 3}
                rows["threads"].append(key | spent | (parts if split else {"system": None, "guest": None}))
        probed = {"cell": cell, "rep": 1, "probed": True}
        rows["devices"].append(
            probed | {"side": "guest", "device": "eth0", "rx_packets": 50, "tx_packets": 70}
        )
        for thread in THREADS:
            calls = {"name": "writev", "fd": "tap", "calls": random.choice([0, random.randint(1, 10**5)])}
            rows["syscalls"].append(probed | {"thread": thread, "tid": 1} | calls)
            for function in ("a", "b", "[kernel]"):
                samples = {"function": function, "file": "", "samples": random.randint(0, 99), "hertz": 99}
                rows["cpu_functions"].append(probed | {"thread": thread, "tid": 1} | samples)
    return Data({name: pd.DataFrame(found) for name, found in rows.items()}, "host")


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_the_factors_multiply_to_the_ratio_whatever_was_counted(seed: int) -> None:
    frame = analyse(numbers(Random(seed)))
    assert tuple(frame.columns) == COLUMNS
    found = dict(groups(frame))
    assert len(found) == 6
    for part in found.values():
        assert_adds_up(part)


def made_up(system: float, calls: int) -> Data:
    """virtio on vhost and on tap, tx, two repetitions: 1 s of the main loop, of which `system` in the
    kernel, and 100 frames."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for back, times in (("tap+vhost-net", 2), ("tap+qemu", 1)):
        for rep in (1, 2):
            key = {"cell": f"{VIRTIO}+{back}+tx+tcp", "rep": rep, "probed": False}
            result = key | {"unit": "", "status": "ok", "seconds": 2.0}
            metrics = {"bytes": 1e5 * times, "throughput": 4e5 * times}
            found = [result | {"metric": name, "value": value} for name, value in metrics.items()]
            rows.setdefault("results", []).extend(found)
            device = {"side": "guest", "device": "eth0", "rx_packets": 0, "tx_packets": 100}
            rows.setdefault("devices", []).extend([key | device, key | {"probed": True} | device])
            spent = {"seconds": 1.0, "system": system * times, "guest": 0.0, "voluntary": 1}
            rows.setdefault("threads", []).append(key | {"thread": "qemu-system-x86", "tid": 1} | spent)
            call = {
                "thread": "qemu-system-x86",
                "tid": 1,
                "name": "writev",
                "fd": "tap",
                "calls": calls * times,
            }
            rows.setdefault("syscalls", []).append(key | {"probed": True} | call)
    rows["cpu_functions"] = []
    tables = {name: pd.DataFrame(found) for name, found in rows.items()}
    columns = ["cell", "rep", "probed", "thread", "tid", "function", "file", "samples", "hertz"]
    return Data(tables | {"cpu_functions": pd.DataFrame(columns=columns)}, "host")


def test_known_numbers() -> None:
    """Frames twice as large at the same CPU time a frame: the whole ratio is in the frames' size, and what
    the kernel took more QEMU took less."""
    frame = analyse(made_up(system=0.25, calls=50)).set_index("factor")
    times = frame["times"].to_dict()
    assert times[RATIO] == pytest.approx(2) and times[FRAME_BYTES] == pytest.approx(2)
    assert times[CPU] == pytest.approx(1) and times[REST] == pytest.approx(1)
    # Twice the calls, each as long: 0.25 s more a hundred frames.
    assert times[CALLS] == pytest.approx(math.exp(-0.25)) and times[TIME_A_CALL] == pytest.approx(1)
    assert times["in QEMU"] == pytest.approx(math.exp(0.25))
    assert frame.loc[CALLS, ["value", "than_value"]].tolist() == [1.0, 0.5]


def sampled(vhost: dict[str, int], tap: dict[str, int]) -> Data:
    """As `made_up`, with samples of the main loop's functions."""
    rows = [
        {"cell": f"{VIRTIO}+{back}+tx+tcp", "rep": 1, "probed": True, "thread": "qemu-system-x86", "tid": 1}
        | {"function": function, "file": "net/x.c", "samples": samples, "hertz": 99}
        for back, counts in (("tap+vhost-net", vhost), ("tap+qemu", tap))
        for function, samples in {**counts, "[kernel]": 1000}.items()
    ]
    data = made_up(system=0.25, calls=50)
    return Data({**data.tables, "cpu_functions": pd.DataFrame(rows)}, "host")


def test_a_thread_s_time_in_qemu_is_divided_by_samples() -> None:
    """0.75 s of tap are a third a and two thirds b; 0.5 s of vhost are b alone."""
    frame = analyse(sampled({"b": 50}, {"a": 20, "b": 40})).set_index("factor")
    assert frame.loc["b", "of"].endswith("main loop / in QEMU") and frame.loc["b", "leaf"]
    assert frame.loc["a", ["value", "than_value"]].tolist() == pytest.approx([0, 0.25 / 100])
    assert frame.loc["b", ["value", "than_value"]].tolist() == pytest.approx([0.5 / 100, 0.5 / 100])
    assert frame.loc["a", "times"] == pytest.approx(math.exp(0.25))
    assert frame.loc["b", "times"] == pytest.approx(1) and not frame.loc["in QEMU", "leaf"]


def test_a_function_that_is_shown_has_its_share_on_both_sides() -> None:
    """Of b, a fiftieth of tap's 0.75 s is no nothing; c and d are few on both sides, and others together."""
    frame = analyse(sampled({"a": 88, "b": 10, "c": 2}, {"a": 96, "b": 2, "d": 2})).set_index("factor")
    assert frame.loc["b", ["value", "than_value"]].tolist() == pytest.approx([0.05 / 100, 0.015 / 100])
    others = frame.loc["other functions", ["value", "than_value"]].tolist()
    assert others == pytest.approx([0.01 / 100, 0.015 / 100])
    assert not {"c", "d"} & set(frame.index)


def test_few_samples_divide_nothing() -> None:
    frame = analyse(sampled({"b": LEAST_SAMPLES - 1}, {"a": 20, "b": 40})).set_index("factor")
    assert "a" not in frame.index and frame.loc["in QEMU", "leaf"]


def test_a_thread_without_calls_has_no_factor_of_calls() -> None:
    frame = analyse(made_up(system=0.25, calls=0))
    assert CALLS not in set(frame["factor"]) and "in the kernel" in set(frame["factor"])


def test_machines_are_never_mixed() -> None:
    """NICs that two machines measured are not compared, back ends of one block are."""
    answers = Answers(RunReader.open(RUNS / "format-2" / "compared"))
    apart = {f"{nic}+{rest}": number for number, nic in enumerate((VIRTIO, E1000))
             for rest in ("tx+tcp", "rx+tcp", "both+rr")}  # fmt: skip
    data = Data(answers.data.tables, "vm", answers.baseline, apart)
    frame = analyse(data)
    assert set(frame["nic"] == frame["than_nic"]) == {True} and len(dict(groups(frame))) == 9


def test_it_is_one_of_the_analyses() -> None:
    assert analyses()["factors"].question == QUESTION


def test_a_run_without_probes_has_its_factors_and_no_stages() -> None:
    answers = Answers(RunReader.open(RUNS / "format-2" / "compared"))
    plain = {name: frame[~frame["probed"].astype(bool)] for name, frame in answers.data.tables.items()}
    data = Data(plain, "vm", answers.baseline)
    found = dict(groups(analyse(data)))
    assert len(found) == 12
    for part in found.values():
        assert_adds_up(part)
    assert analyses()["factor_stages"](data).empty
