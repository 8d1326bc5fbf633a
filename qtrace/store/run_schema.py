"""The tables of a run: every column with its type, unit and meaning, and the migration of older formats.

Writing, reading and docs/run-format.md (`make docs`) all use this description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

__all__ = [
    "FORMAT",
    "KEY",
    "META",
    "OLDEST",
    "RENAMED",
    "SCHEMAS",
    "TABLES",
    "Column",
    "TableSchema",
    "migrated",
]

FORMAT = 2
OLDEST = 1  # the oldest readable format

_TEXT, _COUNT, _REAL, _SMALL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.int32(), pa.bool_()


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `unit` is the unit of its numbers, empty for names, ordinal numbers and ids.

    A column that was added `later`, without a new format, is missing in older files: `absent` is its value
    there, and in rows without a value."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    absent: object = None
    later: bool = False

    @property
    def field(self) -> pa.Field:
        """The column as an Arrow field, with `unit` and `description` as its metadata, in the files too."""
        about = {"description": self.meaning} | ({"unit": self.unit} if self.unit else {})
        return pa.field(self.name, self.type, metadata=about)


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table. `meaning` describes a row; `columns` follow the key columns."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """The key columns and the table's own columns."""
        return pa.schema([column.field for column in (*KEY, *self.columns)])


KEY = (
    Column(
        "cell",
        _TEXT,
        "the cell's id: `NIC+NETDEV+DATAPATH+DIRECTION+WORKLOAD`, then `+AXIS-VALUE` for each axis that the "
        "plan chose, and `+again` of a baseline that is measured a second time (A/A)",
    ),
    Column("rep", _SMALL, "the repetition, from 1"),
    Column("probed", _FLAG, "whether it was measured with probes"),
)

# Columns that several tables have.
_NETDEV_ID = Column("netdev_id", _TEXT, "the netdev's name (its `id`), empty where it is not known")
_QUEUE = Column("queue", _SMALL, "the NIC's queue, from 0")
_DIRECTION = Column("direction", _TEXT, "`tx` (guest to host) or `rx`")
_POSITION = Column("position", _SMALL, "the step's place on its path")
_STAGE = Column("stage", _TEXT, "the stage's name, empty for a step that is not a stage")
_FUNCTION = Column("function", _TEXT, "the function that was counted")
_ATTACHED = Column("attached", _FLAG, "whether the function could be measured; if not, every count is 0")
_NOTE = Column("note", _TEXT, "the reason why it could not be measured, or an explanation")
_THREAD = Column("thread", _TEXT, "the thread's name")
_TID = Column("tid", _SMALL, "the thread's id")
_FILE = Column("file", _TEXT, "the file of its definition, in the indexed tree; empty where not indexed")
_LINE = Column("line", _SMALL, "the line of its definition, 0 where not indexed")
_CALLS = Column("calls", _COUNT, "the number of calls", "calls")
_FRAMES = Column("frames", _COUNT, "the frames that these calls handled", "frames")
_BYTES = Column("bytes", _COUNT, "the bytes that these calls handled", "bytes")
_ENDS = (
    Column("from_stage", _TEXT, "the stage at which the time begins"),
    Column("from_function", _TEXT, "the function of `from_stage`"),
    Column("to_stage", _TEXT, "the stage at which the time ends"),
    Column("to_function", _TEXT, "the function of `to_stage`"),
)
_BUCKET = Column("bucket", _SMALL, "times from 2^bucket up to 2^(bucket + 1) ns; 0 ns is in 0", "log2 ns")


def _times(things: str, meaning: str) -> tuple[Column, ...]:
    """The columns of a histogram: one row for each bucket."""
    return (*_ENDS, _BUCKET, Column("count", _COUNT, meaning, things))


def _counters(side: str) -> tuple[Column, ...]:
    words = {"rx": "received", "tx": "sent"}[side]
    return (
        Column(f"{side}_packets", _COUNT, f"packets that the device {words}", "packets"),
        Column(f"{side}_bytes", _COUNT, f"bytes that the device {words}", "bytes"),
        Column(f"{side}_dropped", _COUNT, f"packets that it dropped instead ({side})", "packets"),
    )


_ALL = (
    TableSchema(
        "results",
        "One metric of one measurement, as the workload reported it.",
        (
            Column("nic", _TEXT, "the NIC's model"),
            Column("netdev", _TEXT, "the netdev's kind: `tap`, `user`, …; its form after a dot"),
            Column("datapath", _TEXT, "`qemu`, or `vhost-net` where the kernel carries the frames"),
            Column("direction", _TEXT, "the payload's direction: `tx`, `rx`; null for a round trip"),
            Column("workload", _TEXT, "the workload's name"),
            Column(
                "qemu", _TEXT, "the release of the QEMU, empty where it was not noted", absent="", later=True
            ),
            Column("order", _SMALL, "the measurement's place in the shuffled campaign"),
            Column("started", _REAL, "when it began", "s since 1970"),
            Column("seconds", _REAL, "the duration of the measurement", "s"),
            Column("metric", _TEXT, "the metric (see Metrics); `none` if the measurement failed"),
            Column("value", _REAL, "the metric's value", "as `unit` says"),
            Column("unit", _TEXT, "the value's unit"),
            Column("status", _TEXT, "`ok` or `failed`"),
            Column("reason", _TEXT, "the reason of the failure, empty for `ok`"),
        ),
    ),
    TableSchema(
        "stages",
        "The counts of one stage of a path. With `windowed`, counts are scaled to the whole time.",
        (
            _DIRECTION,
            _POSITION,
            _STAGE,
            _FUNCTION,
            Column("how", _TEXT, "`uprobe`, `uretprobe`, `kprobe`, `tracepoint`, or `none`"),
            _ATTACHED,
            _CALLS,
            _FRAMES,
            _BYTES,
            _NOTE,
            Column(
                "observed",
                _REAL,
                "the share of the time in which it was counted",
                "1",
                absent=1.0,
                later=True,
            ),
            Column("windowed", _FLAG, "whether it was counted in windows only", absent=False, later=True),
            Column(
                "calls_error",
                _REAL,
                "half of the 95 % interval of `calls`, null if exact",
                "calls",
                later=True,
            ),
            Column("frames_error", _REAL, "half of the 95 % interval of `frames`", "frames", later=True),
            Column("bytes_error", _REAL, "half of the 95 % interval of `bytes`", "bytes", later=True),
        ),
    ),
    TableSchema(
        "ways",
        "The number of passages of a stage by each of its ways; the stage's calls are their sum.",
        (
            _DIRECTION,
            _POSITION,
            _STAGE,
            _FUNCTION,
            Column("attached", _FLAG, "whether this way of passing the stage could be counted"),
            _CALLS,
            Column("note", _TEXT, "the reason why it could not be counted"),
        ),
    ),
    TableSchema(
        "queues",
        "The counts of one queue of a NIC at one stage, where the NIC has several queues.",
        (
            _NETDEV_ID,
            Column("card", _TEXT, "the NIC's name in QEMU"),
            _QUEUE,
            _DIRECTION,
            _POSITION,
            _STAGE,
            _FUNCTION,
            _CALLS,
            _FRAMES,
            _BYTES,
        ),
    ),
    TableSchema(
        "edges",
        "The time from one stage to the next one on the same thread.",
        (_DIRECTION, *_times("passages", "passages with a time in this bucket")),
    ),
    TableSchema(
        "frames",
        "The number of frames followed from the first stage that counts frames to the last: "
        "`matched` + `ambiguous` + `unmatched` = `frames`.",
        (
            _NETDEV_ID,
            _QUEUE,
            _DIRECTION,
            Column("carried", _TEXT, "the carrier of the frames: `qemu` or `kernel`"),
            *_ENDS,
            Column("frames", _COUNT, "frames seen at either end", "frames"),
            Column("matched", _COUNT, "frames followed from end to end", "frames"),
            Column(
                "ambiguous",
                _COUNT,
                "ends seen while several frames waited, so the frame is unknown",
                "frames",
            ),
            Column("unmatched", _COUNT, "frames of which only one end was seen", "frames"),
            Column("waited", _COUNT, "frames, among all of these, that waited in a queue", "frames"),
        ),
    ),
    TableSchema(
        "waits",
        "The time that frames waited: from the stage where they stopped to the stage where they went on.",
        (_NETDEV_ID, _QUEUE, _DIRECTION, *_times("frames", "frames with a waiting time in this bucket")),
    ),
    TableSchema(
        "stops",
        "Frames that went no further, with a row for each stage and reason.",
        (
            _NETDEV_ID,
            _QUEUE,
            _DIRECTION,
            Column("stage", _TEXT, "the stage behind which they stopped, empty if there are several"),
            Column("function", _TEXT, "the function of that stage"),
            Column("frames", _COUNT, "frames that stopped there", "frames"),
            Column("why", _TEXT, "the reason, as far as the stage and the state of both ends show it"),
        ),
    ),
    TableSchema(
        "frame_times",
        "The time of matched frames from their first stage to their last.",
        (_NETDEV_ID, _QUEUE, _DIRECTION, *_times("frames", "matched frames with a time in this bucket")),
    ),
    TableSchema(
        "samples",
        "One stage that a sampled frame passed.",
        (
            Column("frame", _COUNT, "the frame's number, unique in its cell and repetition"),
            _NETDEV_ID,
            _QUEUE,
            _DIRECTION,
            _POSITION,
            _STAGE,
            _FUNCTION,
            Column("time_ns", _COUNT, "the time at which it passed (CLOCK_MONOTONIC)", "ns"),
            _THREAD,
            _TID,
            Column("cpu", _SMALL, "the processor's number"),
            Column(
                "frames", _COUNT, "the frames that the call handled, 0 for a kick or an interrupt", "frames"
            ),
            Column("bytes", _COUNT, "the frame's size at this stage", "bytes"),
            Column("header", _SMALL, "the number of bytes in `data` before the frame itself", "bytes"),
            Column("data", _TEXT, "its first 256 bytes in hex; empty if the stage has no access to them"),
        ),
    ),
    TableSchema(
        "syscalls",
        "One system call's name on one kind of descriptor, by thread.",
        (
            _THREAD,
            _TID,
            Column("name", _TEXT, "the system call"),
            Column("fd", _TEXT, "its descriptor's kind: `tap`, `socket`, `eventfd`, `other`, or empty"),
            _CALLS,
            Column("errors", _COUNT, "calls that failed", "calls"),
            _BYTES,
        ),
    ),
    TableSchema(
        "threads",
        "The CPU time and context switches of one thread of QEMU, or of its vhost worker.",
        (
            _THREAD,
            _TID,
            Column("seconds", _REAL, "CPU time, user and system", "s"),
            Column("voluntary", _COUNT, "context switches because it waited", "switches"),
            Column("involuntary", _COUNT, "context switches because another thread had its turn", "switches"),
            Column(
                "transfers",
                _COUNT,
                "read and write system calls, as the kernel counts them; null where it does not",
                "calls",
                later=True,
            ),
            Column(
                "system",
                _REAL,
                "the part of `seconds` in the kernel, by its clock; null where it was not read",
                "s",
                later=True,
            ),
            Column("guest", _REAL, "the part of `seconds` in the guest, by the clock", "s", later=True),
        ),
    ),
    TableSchema(
        "cpu_functions",
        "The functions in which one thread was sampled.",
        (
            _THREAD,
            _TID,
            Column("function", _TEXT, "the function, `[kernel]`, `[guest code]`, `[vdso]`, or `unknown`"),
            Column("file", _TEXT, "its file in QEMU's tree, else the binary's name, empty for `[…]`"),
            Column("samples", _COUNT, "the number of samples in this function", "samples"),
            Column("hertz", _SMALL, "samples a second on each processor", "Hz"),
        ),
    ),
    TableSchema(
        "copies",
        "The bytes that one function of QEMU copied (level full). `frames` and `frame_bytes` were handed "
        "over to the peer meanwhile; they are equal in each row of a queue and direction.",
        (
            _NETDEV_ID,
            _QUEUE,
            _DIRECTION,
            _FUNCTION,
            _FILE,
            _LINE,
            _ATTACHED,
            _CALLS,
            Column("bytes", _COUNT, "the bytes that it copied", "bytes"),
            Column("frames", _COUNT, "the frames handed over meanwhile", "frames"),
            Column("frame_bytes", _COUNT, "the bytes of these frames", "bytes"),
            _NOTE,
        ),
    ),
    TableSchema(
        "retransmissions",
        "The retransmissions of libslirp's TCP to the guest (level full, netdev `user`).",
        (
            _NETDEV_ID,
            Column("kind", _TEXT, "`timeout`, `fast` or `window probe`"),
            _FUNCTION,
            _FILE,
            _LINE,
            _ATTACHED,
            Column("count", _COUNT, "the number of retransmissions", "times"),
            _NOTE,
        ),
    ),
    TableSchema(
        "iotlb_misses",
        "The addresses that the kernel's vhost had QEMU translate, behind a virtual IOMMU (level full).",
        (
            _NETDEV_ID,
            _QUEUE,
            _FUNCTION,
            _FILE,
            _LINE,
            _ATTACHED,
            Column("count", _COUNT, "the number of misses", "times"),
            _NOTE,
        ),
    ),
    TableSchema(
        "devices",
        "A network device's own counters, as differences over the measurement's window.",
        (
            Column("device", _TEXT, "the device's name"),
            Column("side", _TEXT, "`tap` (on the host) or `guest`"),
            *_counters("rx"),
            *_counters("tx"),
        ),
    ),
    TableSchema(
        "ledger",
        "Losses, misses, failures and omissions, which belong to the counts.",
        (
            Column("kind", _TEXT, "`lost`, `unattached`, `missed`, `failed`, `shared`, `suppressed`, …"),
            Column("item", _TEXT, "the thing that was lost, missed, …"),
            Column("count", _COUNT, "the number of losses, misses, …", "of the item"),
            Column("note", _TEXT, "the consequence"),
        ),
    ),
)
TABLES: Mapping[str, TableSchema] = {table.name: table for table in _ALL}
SCHEMAS: Mapping[str, pa.Schema] = {table.name: table.schema for table in _ALL}

# The entries of run.json: name, type, meaning.
META = (
    ("format", "int", f"the format's number, {FORMAT}"),
    ("id", "str", "the run's name: its folder's name at the beginning"),
    ("qtrace", "str", "the release of qtrace that wrote it"),
    ("created", "str", "the time of its beginning, ISO 8601 with the zone"),
    ("finished", "str", "the time of its end, null while it runs"),
    ("status", "str", "`running`, `complete`, `partial` (cells failed) or `interrupted`"),
    ("command", "list", "the arguments of `qtrace` on the command line"),
    ("venue", "str", "`host`, or `vm` for the lab machine; venues are never mixed"),
    ("venue_reason", "str", "why there"),
    ("conditions", "dict", "name -> text in the order of display: accelerator, CPU, kernel, QEMU, …"),
    ("plan", "dict", "the plan as data; `blocks` are the ids of its blocks"),
    ("blocks", "list", "the ids of the measured blocks, where they are not all"),
    ("resumed", "list", "after how many measurements the run was interrupted and gone on with, each time"),
    ("left_out", "list", "cells that the plan's lists name and that cannot be: `cell` and `reason` of each"),
    ("hosts", "list", "of a merged run: `blocks` and `conditions` of each machine"),
    (
        "precision",
        "list",
        "of a plan with a `precision`, at its end: for each cell but the baselines and each metric that its "
        "workload is judged by, the `ratio` to the baseline with its `half_width` (half the 95 % interval as "
        "a share of the ratio, null without one), `n`, the `seconds` of the cell's measurements, whether it "
        "was `reached`, and the `reason` why not",
    ),
    ("paths", "list", "the walked paths, each `Path.to_json()`"),
    (
        "state",
        "dict",
        "of a run of `record`: how process, NICs and taps stood at its window's `begin` and `end`, the calls "
        "in which its threads stood within it (`calls` of `end`), and the window's `seconds`",
    ),
    ("clock", "dict", "with sampled frames: `monotonic_ns` and `unix_ns` of one moment"),
)

# Format -> table -> name of a column -> its name in the next format.
RENAMED: Mapping[int, Mapping[str, Mapping[str, str]]] = {
    1: {
        "queues": {"netdev": "netdev_id"},
        **{table: {"slot": "bucket"} for table in ("edges", "waits", "frame_times")},
    },
}


def migrated(part: pa.Table, name: str, written: int) -> pa.Table:
    """One file of the table `name`, written in the format `written`, with the columns of the present format.

    Raises KeyError for missing columns, ArrowException for a type that does not fit.
    """
    for step in range(written, FORMAT):
        renamed = RENAMED[step].get(name, {})
        part = part.rename_columns([renamed.get(column, column) for column in part.column_names])
    schema = SCHEMAS[name]
    filled = [column for column in TABLES[name].columns if column.later or column.absent is not None]
    if not filled and part.schema.equals(schema):
        return part
    for column in filled:
        if column.name not in part.column_names and column.later:
            empty = pa.array([column.absent] * len(part), column.type)
            part = part.append_column(column.field, empty)
        elif column.absent is not None:
            at = part.column_names.index(column.name)
            part = part.set_column(at, column.field, part.column(column.name).fill_null(column.absent))
    return part.select(schema.names).cast(schema)
