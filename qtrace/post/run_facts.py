"""A run's numbers as facts: speed, round trips, cost of a frame, times between stages; and what may be
claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtrace.analyses.methods.data import qemu_of
from qtrace.analyses.methods.frame_counts import KERNEL
from qtrace.errors import StoreError
from qtrace.model import Path, Step
from qtrace.post.fact_book import FactBook
from qtrace.report.answers import Answers, Row
from qtrace.report.drawing import Drawn, lay_out
from qtrace.report.text import bits, count, duration, microseconds, plain_number, present, span, times
from qtrace.store.run import RunReader

__all__ = ["NAMES", "RunFacts"]

# (netdev, datapath) -> how the posts call it.
NAMES = {
    ("user", "qemu"): "user",
    ("tap", "qemu"): "tap",
    ("tap", "vhost-net"): "vhost",
    ("socket", "qemu"): "socket",
}
_NIC = "virtio-net-pci"
_RELAYED = ("socket",)
_CONDITIONS = ("QEMU", "kernel", "accelerator", "CPU", "repetitions")


def _interval(low: str, high: str) -> str:
    """The same in every language."""
    return span(low, high).replace(" to ", " … ")


def name_of(row: Row) -> str:
    """The back end of a row as the posts call it; empty where it is none of theirs."""
    return NAMES.get((row["netdev"], row["datapath"]), "")


class RunFacts:
    """Puts a run's numbers into `book`; `names` are the back ends that the run has.

    Raises StoreError for a run with several QEMUs: a fact has no room for which of them it is of.
    """

    def __init__(self, run: RunReader, book: FactBook) -> None:
        self.book, self.answers = book, Answers(run)
        qemus = {qemu_of(str(name)) for name in self.answers.data.table("results")["workload"].unique()}
        if len(qemus) > 1:
            raise StoreError(
                f"{run.path} has several QEMUs ({', '.join(sorted(qemus))}): a post tells of one",
                hint="give the run of a plan with one QEMU",
            )
        self._where = str(run.meta["id"])
        self._accelerator = str(run.meta["conditions"].get("accelerator", ""))
        self._ratios: dict[str, tuple[float, float]] = {}
        self._add_conditions(run.meta)
        self._add_speed()
        self._add_round_trips()
        self._add_notifications()
        self._add_calls()
        self._add_copies()
        self._add_bytes_of_a_frame()
        self._add_processor()
        self._add_times()
        self._add_proof()

    def rows(self, analysis: str) -> list[tuple[str, Row]]:
        """(name of the back end, row) of an analysis, of the posts' NIC."""
        found = []
        for row in self.answers.ask(analysis):
            name = name_of(row)
            if name and row["nic"] == _NIC:
                found.append((name, row))
        return found

    def names(self, stem: str) -> list[str]:
        """The back ends for which the run has facts that begin with `stem`."""
        return [name for name in NAMES.values() if self.book.has(f"{stem}.{name}")]

    def verdict(self, name: str) -> str:
        """`less` or `more` than the baseline where the whole interval of the ratio says so, else `open`."""
        low, high = self._ratios.get(name, (0.0, float("inf")))
        return "less" if high < 1 else "more" if low > 1 else "open"

    def time_of(self, path: Path, name: str, step: Step) -> str:
        """The median time that a frame took from the stage before to this one; nothing where it was not
        measured."""
        fact = f"time.{name}.{path.direction}.{step.stage}.p50"
        return self.book.use(fact) if step.stage and self.book.has(fact) else ""

    def drawn(self, path: Path) -> Drawn:
        """The path's drawing; what it says of counts and times becomes facts, in the language that is
        spoken."""
        found = lay_out(path, self.answers)
        for card in found.cards:
            for what, text in (("counted", card.counted), ("took", card.took), ("tail", card.tail)):
                if text:
                    table = "stages" if what == "counted" else "stage_latency"
                    cell = f"{path.nic}, {path.netdev}, {path.datapath}, {path.direction}"
                    at = f"{self._where}: {table}: {cell}, {card.role}"
                    self.book.record(
                        f"drawn {path.netdev} {path.direction} {card.role} {what}", text, "run", at
                    )
        return found

    def _add(self, name: str, value: str, analysis: str, row: Mapping[str, Any]) -> None:
        keys = (
            "netdev",
            "datapath",
            "workload",
            "way",
            "direction",
            "metric",
            "from_stage",
            "to_stage",
            "thread",
        )
        which = ", ".join(f"{key}={row[key]}" for key in keys if row.get(key) not in (None, ""))
        self.book.add(name, value, "run", f"{self._where}: {analysis}: {which}")

    def _add_conditions(self, meta: Mapping[str, Any]) -> None:
        where = f"{self._where}: run.json conditions"
        for key in _CONDITIONS:
            if key in meta["conditions"]:
                self.book.add(f"run.{key.lower()}", meta["conditions"][key], "run", where)
        self.book.add("run.venue", meta["venue"], "run", where)
        self.book.add("run.confidence", "95%", "run", "analyses/methods: the confidence of every interval")
        self.book.add("run.n", self.answers.repetitions, "run", f"{self._where}: results")

    def _compared(self, stem: str, analysis: str, row: Row, form: Any) -> None:
        self._add(stem, form(row["mean"]), analysis, row)
        self._add(f"{stem}.interval", _interval(form(row["low"]), form(row["high"])), analysis, row)
        low, high = present(row["ratio_low"]), present(row["ratio_high"])
        if name_of(row) in _RELAYED:  # how fast the relay is says nothing of QEMU
            return
        if present(row["ratio"]) is not None and low is not None and high is not None:
            self._add(f"{stem}.ratio", times(row["ratio"]), analysis, row)
            self._add(f"{stem}.ratio_interval", _interval(times(low), times(high)), analysis, row)
            self._ratios[stem] = (low, high)

    def _add_speed(self) -> None:
        for name, row in self.rows("throughput"):
            self._compared(f"speed.{row['way']}.{name}", "throughput", row, bits)

    def _add_round_trips(self) -> None:
        for name, row in self.rows("latency"):
            if row["metric"] == "rtt_p50":
                self._compared(f"rtt.{name}", "latency", row, microseconds)
            if row["metric"] == "rtt_p99":
                self._add(f"rtt_p99.{name}", microseconds(row["mean"]), "latency", row)

    def _add_notifications(self) -> None:
        for name, row in self.rows("notifications"):
            if row["direction"] != row["way"]:
                continue
            self._add(f"frames.{row['direction']}.{name}", count(row["frames"]), "notifications", row)
            for what in ("kicks", "interrupts"):
                if present(row[f"{what}_per_frame"]) is not None:
                    value = plain_number(row[f"{what}_per_frame"])
                    self._add(f"{what}.{row['direction']}.{name}", value, "notifications", row)

    def _add_calls(self) -> None:
        for name, row in self.rows("batching"):
            if row["direction"] == row["way"] and row["frames"]:
                value = plain_number(row["all_calls"] / row["frames"])
                self._add(f"calls.{row['direction']}.{name}", value, "batching", row)

    def _add_copies(self) -> None:
        sums: dict[tuple[str, str], float] = {}
        for name, row in self.rows("copies"):
            known = present(row["bytes_per_byte"])
            if row["direction"] == row["way"] and row["attached"] and known is not None:
                sums[name, row["direction"]] = sums.get((name, row["direction"]), 0.0) + known
        for (name, direction), value in sums.items():
            row = {"netdev": name, "direction": direction}
            self._add(f"copies.{direction}.{name}", plain_number(value), "copies, the functions' sum", row)

    def _add_bytes_of_a_frame(self) -> None:
        """What was copied of a frame by each function, handed over by the system call, and delivered."""
        for name, row in self._busiest("copies"):
            fact = f"copied.{row['direction']}.{name}.{row['function']}"
            if present(row["bytes_per_frame"]) is not None and not self.book.has(fact):
                self._add(fact, plain_number(row["bytes_per_frame"]), "copies", row)
        for name, row in self._busiest("stages"):
            stem = {"host": "handed", "deliver": "delivered"}.get(str(row["stage"]), "")
            fact = f"{stem}.{row['direction']}.{name}"
            if stem and row["frames"] and row["bytes"] and not self.book.has(fact):
                self._add(fact, plain_number(row["bytes"] / row["frames"]), "stages", row)
                self._add(f"{fact}.function", str(row["function"]), "stages", row)

    def _busiest(self, analysis: str) -> Sequence[tuple[str, Row]]:
        """The rows of what was probed while traffic went their way, those with most frames first."""
        rows = [(name, row) for name, row in self.rows(analysis) if row["direction"] == row["way"]]
        return sorted(
            (item for item in rows if item[1]["attached"]), key=lambda item: -(item[1]["frames"] or 0)
        )

    def _add_processor(self) -> None:
        for name, row in self.rows("cpu"):
            thread = {"qemu-system-x86": "main", "vhost worker": "vhost"}.get(str(row["thread"]))
            if thread and row["way"] in ("tx", "rx"):
                self._add(f"cpu_{thread}.{row['way']}.{name}", plain_number(row["s_per_gb"]), "cpu", row)

        self._compare_processor()

    def _compare_processor(self) -> None:
        """How much of the main thread's time is left with vhost, by the ends of both intervals."""
        rows = {
            (name, row["way"]): row for name, row in self.rows("cpu") if row["thread"] == "qemu-system-x86"
        }
        for way in ("tx", "rx"):
            with_vhost, without = rows.get(("vhost", way)), rows.get(("tap", way))
            if with_vhost and without:
                least, most = present(with_vhost["low"]), present(with_vhost["high"])
                least_of, most_of = present(without["low"]), present(without["high"])
                if most and least_of and most_of and least_of > 0:
                    self._ratios[f"cpu.{way}"] = ((least or 0.0) / most_of, most / least_of)

    def _add_times(self) -> None:
        for name, row in self._payload("stage_latency"):
            if row["to_stage"]:
                for part in ("p50", "p99"):
                    fact = f"time.{name}.{row['direction']}.{row['to_stage']}.{part}"
                    if present(row[f"{part}_ns"]) is not None and not self.book.has(fact):
                        self._add(fact, duration(row[f"{part}_ns"]), "stage_latency", row)
        for name, row in self._payload("frame_latency"):
            for part in ("p50", "p99"):
                fact = f"whole_{part}.{row['direction']}.{name}"
                if present(row[f"{part}_ns"]) is not None and not self.book.has(fact):
                    self._add(fact, duration(row[f"{part}_ns"]), "frame_latency", row)

    def _add_proof(self) -> None:
        """Frames that QEMU and the kernel's vhost counted while vhost was on."""
        rows = [row for name, row in self.rows("vhost_proof") if name == "vhost"]
        known = [row for row in rows if row["qemu_frames"] is not None and row["kernel_frames"] is not None]
        if known:
            for key in ("qemu", "kernel"):
                total = sum(int(row[f"{key}_frames"]) for row in known)
                at = f"{self._where}: vhost_proof: all rows with vhost-net, {key}_frames"
                self.book.add(f"proof.{key}", count(total), "run", at)
        # Under KVM alone there are irqfds, by which vhost's signal is an interrupt without QEMU.
        sent = [row for name, row in self.rows("stages") if name == "vhost" and row["stage"] == "interrupt"]
        if sent and all(row["attached"] for row in sent) and self._accelerator.startswith("kvm"):
            for key, whose in (("kernel", True), ("qemu", False)):
                total = sum(int(row["calls"]) for row in sent if (row["how"] in KERNEL) == whose)
                at = f"{self._where}: stages: all rows of interrupt with vhost-net, the functions of {key}"
                self.book.add(f"interrupts_sent.{key}", count(total), "run", at)

    def _payload(self, analysis: str) -> Sequence[tuple[str, Row]]:
        rows = [(name, row) for name, row in self.rows(analysis) if row["direction"] == row["way"]]
        return sorted(rows, key=lambda item: -int(item[1].get("count") or item[1].get("matched") or 0))
