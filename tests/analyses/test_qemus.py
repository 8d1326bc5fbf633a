"""Two QEMUs of one campaign: the same cell in both, and nothing else of one beside the other (made-up
rows)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import pytest

from qtrace.analyses.methods.data import Data, qemu_of, without_qemu
from qtrace.analyses.methods.registry import analyses
from qtrace.analyses.qemus import analyse, say

CELL = "e1000+{netdev}+qemu+tx+tcp+mtu-576+qemu-{qemu}"
BLOCK = "e1000+tx+tcp+mtu-576+qemu-{qemu}"


def data(
    values: Mapping[tuple[str, str], Sequence[float]],
    metric: str = "throughput",
    machines: Mapping[str, int] | None = None,
    apart: float = 0.0,
) -> Data:
    """`values`: (netdev, QEMU) -> value by repetition; each QEMU begins `apart` seconds after the one
    before."""
    order = list(dict.fromkeys(qemu for _, qemu in values))
    rows = [
        {"cell": CELL.format(netdev=netdev, qemu=qemu), "rep": rep, "probed": False, "metric": metric}
        | {"value": value, "unit": "bit/s", "status": "ok", "started": rep + apart * order.index(qemu)}
        for (netdev, qemu), series in values.items()
        for rep, value in enumerate(series, 1)
    ]
    return Data({"results": pd.DataFrame(rows)}, "host", machines=machines or {})


HALF = {
    ("tap", "7.2"): (100.0, 200.0, 400.0),
    ("tap", "10.0"): (50.0, 100.0, 200.0),
    ("user", "7.2"): (10.0, 10.0, 10.0),
}


def test_the_ratio_is_within_a_repetition_and_older_releases_are_first() -> None:
    (row,) = analyse(data(HALF)).to_dict("records")
    assert (row["netdev"], row["workload"], row["qemu"], row["than_qemu"]) == (
        *("tap", "tcp mtu-576"),
        *("10.0", "7.2"),
    )
    assert (row["n"], row["verdict"], row["in_turns"]) == (3, "slower", True)
    assert [row[name] for name in ("ratio", "low", "high")] == pytest.approx([0.5, 0.5, 0.5])
    assert (row["value"], row["than_value"]) == pytest.approx((100.0, 200.0))
    said = list(say([row]))
    assert said[0] == ("found", {"qemu": "10.0", "than": "7.2", "told": "1 slower"})
    assert said[1][0] == "most" and said[1][1]["traffic"] == "tcp mtu-576 tx"


def test_less_time_is_faster_and_one_value_has_no_verdict() -> None:
    (row,) = analyse(data(HALF, "rtt_p50")).to_dict("records")
    assert row["verdict"] == "faster"
    one = {key: values[:1] for key, values in HALF.items()}
    (row,) = analyse(data(one)).to_dict("records")
    assert (row["verdict"], row["reason"]) == ("not known", "one repetition has no interval")


def test_what_was_not_taken_in_turns_says_so() -> None:
    (row,) = analyse(data(HALF, apart=100.0)).to_dict("records")
    assert row["in_turns"] is False and row["verdict"] == "slower"


def test_cells_of_two_machines_are_not_compared() -> None:
    blocks = [BLOCK.format(qemu=qemu) for qemu in ("7.2", "10.0")]
    apart = analyse(data(HALF, machines=dict(zip(blocks, (0, 1), strict=True)))).to_dict("records")
    assert [(row["verdict"], row["reason"].partition(":")[0]) for row in apart] == [
        ("not known", "two machines measured them")
    ]
    assert apart[0]["ratio"] != apart[0]["ratio"]  # NaN
    together = analyse(data(HALF, machines=dict.fromkeys(blocks, 1) | {"other": 0})).to_dict("records")
    assert [row["verdict"] for row in together] == ["slower"]


def test_ratios_to_the_baseline_are_within_one_qemu() -> None:
    both = HALF | {("user", "10.0"): (25.0, 25.0, 25.0)}
    rows = analyses()["throughput"](data(both)).to_dict("records")
    found = {(row["netdev"], qemu_of(row["workload"])): row["ratio"] for row in rows}
    assert found["user", "7.2"] == pytest.approx(0.05) and found["user", "10.0"] == pytest.approx(0.25)


def test_a_run_of_one_qemu_says_nothing() -> None:
    assert analyse(data({("tap", "7.2"): (1.0, 2.0)})).empty
    frame = data({("tap", "7.2"): (1.0, 2.0)}).tables["results"]
    frame["cell"] = "e1000+tap+qemu+tx+tcp"
    assert analyse(Data({"results": frame}, "host")).empty


@pytest.mark.parametrize(
    ("workload", "qemu", "rest"),
    [("tcp", "", "tcp"), ("rr mtu-576 qemu-my-own", "my-own", "rr mtu-576"), ("qemu-x", "", "")],
)
def test_the_name_in_a_workload(workload: str, qemu: str, rest: str) -> None:
    assert (qemu_of(workload), without_qemu(workload)) == (qemu, rest)
