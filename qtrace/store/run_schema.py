"""The tables of a run: every column with its type, unit and meaning, and how older formats become this one.

Writing, reading and docs/run-format.md (`make docs`) all go by this description.
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
OLDEST = 1  # the oldest format that is still read

_TEXT, _COUNT, _REAL, _SMALL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.int32(), pa.bool_()


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `unit` is what its numbers count or measure in, empty for names, numbers of order and ids.

    A column that came `later`, without a new format, is missing in older files: `absent` stands there, and
    where a row has no value."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    absent: object = None
    later: bool = False

    @property
    def field(self) -> pa.Field:
        """The column as Arrow knows it; `unit` and `description` are its metadata, in the files too."""
        about = {"description": self.meaning} | ({"unit": self.unit} if self.unit else {})
        return pa.field(self.name, self.type, metadata=about)


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table. `meaning` says what a row is; `columns` are those behind the key."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """The key columns and the table's own."""
        return pa.schema([column.field for column in (*KEY, *self.columns)])


KEY = (
    Column("cell", _TEXT, "the cell's id: `NIC+NETDEV+DATAPATH+DIRECTION+WORKLOAD`"),
    Column("rep", _SMALL, "the repetition, from 1"),
    Column("probed", _FLAG, "whether it was measured with probes"),
)

# Columns that several tables have.
_NETDEV_ID = Column("netdev_id", _TEXT, "the netdev's name (its `id`), empty where it is not known")
_QUEUE = Column("queue", _SMALL, "the NIC's queue, from 0")
_DIRECTION = Column("direction", _TEXT, "`tx` (guest to host) or `rx`")
_POSITION = Column("position", _SMALL, "the step's place on its path")
_STAGE = Column("stage", _TEXT, "the stage's name, empty for a step that is none")
_FUNCTION = Column("function", _TEXT, "the function that was counted")
_ATTACHED = Column("attached", _FLAG, "whether it could be measured; where not, every count is 0")
_NOTE = Column("note", _TEXT, "why it could not be measured, or how to read it")
_THREAD = Column("thread", _TEXT, "the thread's name")
_TID = Column("tid", _SMALL, "the thread's id")
_FILE = Column("file", _TEXT, "where the function is defined, in the indexed tree; empty where not indexed")
_LINE = Column("line", _SMALL, "and its line there, 0 where not indexed")
_CALLS = Column("calls", _COUNT, "how often it was called", "calls")
_FRAMES = Column("frames", _COUNT, "frames that these calls told of", "frames")
_BYTES = Column("bytes", _COUNT, "bytes that these calls told of", "bytes")
_ENDS = (
    Column("from_stage", _TEXT, "the stage where the time begins"),
    Column("from_function", _TEXT, "and its function"),
    Column("to_stage", _TEXT, "the stage where the time ends"),
    Column("to_function", _TEXT, "and its function"),
)
_BUCKET = Column("bucket", _SMALL, "times from 2^bucket up to 2^(bucket + 1) ns; 0 ns is in 0", "log2 ns")


def _times(things: str, meaning: str) -> tuple[Column, ...]:
    """A histogram: one row a bucket."""
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
            Column("netdev", _TEXT, "the netdev's kind: `tap`, `user`, …"),
            Column("datapath", _TEXT, "`qemu`, or `vhost-net` where the kernel carries the frames"),
            Column("direction", _TEXT, "where the payload goes: `tx`, `rx`; null for a round trip"),
            Column("workload", _TEXT, "the workload's name"),
            Column("order", _SMALL, "the measurement's place in the shuffled campaign"),
            Column("started", _REAL, "when it began", "s since 1970"),
            Column("seconds", _REAL, "how long the measurement took", "s"),
            Column("metric", _TEXT, "what was measured (see Metrics); `none` where the measurement failed"),
            Column("value", _REAL, "the metric's value", "as `unit` says"),
            Column("unit", _TEXT, "the value's unit"),
            Column("status", _TEXT, "`ok` or `failed`"),
            Column("reason", _TEXT, "why it failed, empty for `ok`"),
        ),
    ),
    TableSchema(
        "stages",
        "What one stage of a path counted. With `windowed`, counts are scaled to the whole time.",
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
                "observed", _REAL, "in what share of the time it was counted", "1", absent=1.0, later=True
            ),
            Column("windowed", _FLAG, "whether it was counted in windows only", absent=False, later=True),
            Column(
                "calls_error",
                _REAL,
                "half of the 95 % interval of `calls`, null if exact",
                "calls",
                later=True,
            ),
            Column("frames_error", _REAL, "half of that of `frames`", "frames", later=True),
            Column("bytes_error", _REAL, "half of that of `bytes`", "bytes", later=True),
        ),
    ),
    TableSchema(
        "ways",
        "How often a stage that has several ways was passed by each; the stage's calls are their sum.",
        (
            _DIRECTION,
            _POSITION,
            _STAGE,
            _FUNCTION,
            Column("attached", _FLAG, "whether this way could be counted"),
            _CALLS,
            Column("note", _TEXT, "why it could not"),
        ),
    ),
    TableSchema(
        "queues",
        "What one queue of a NIC counted at one stage, where the NIC has several.",
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
        "How long it took from one stage to the next one on the same thread.",
        (_DIRECTION, *_times("passages", "passages that took so long")),
    ),
    TableSchema(
        "frames",
        "How many frames could be followed from the first stage that counts frames to the last: "
        "`matched` + `ambiguous` + `unmatched` = `frames`.",
        (
            _NETDEV_ID,
            _QUEUE,
            _DIRECTION,
            Column("carried", _TEXT, "who carried them: `qemu` or `kernel`"),
            *_ENDS,
            Column("frames", _COUNT, "frames seen at either end", "frames"),
            Column("matched", _COUNT, "followed from end to end", "frames"),
            Column("ambiguous", _COUNT, "ended when several waited, so it is not known which", "frames"),
            Column("unmatched", _COUNT, "of which only one end was seen", "frames"),
            Column("waited", _COUNT, "of all of them, those that waited in a queue", "frames"),
        ),
    ),
    TableSchema(
        "waits",
        "How long frames waited: from the stage where they stopped to the one where they went on.",
        (_NETDEV_ID, _QUEUE, _DIRECTION, *_times("frames", "frames that waited so long")),
    ),
    TableSchema(
        "stops",
        "Frames that went no further; of one stage there is a row for each reason.",
        (
            _NETDEV_ID,
            _QUEUE,
            _DIRECTION,
            Column("stage", _TEXT, "behind which stage they stopped, empty where several"),
            Column("function", _TEXT, "and its function"),
            Column("frames", _COUNT, "frames that stopped there", "frames"),
            Column("why", _TEXT, "the reason, as far as the stage and the state of both ends tell it"),
        ),
    ),
    TableSchema(
        "frame_times",
        "How long matched frames took from their first stage to their last.",
        (_NETDEV_ID, _QUEUE, _DIRECTION, *_times("frames", "matched frames that took so long")),
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
            Column("time_ns", _COUNT, "when it passed (CLOCK_MONOTONIC)", "ns"),
            _THREAD,
            _TID,
            Column("cpu", _SMALL, "the processor's number"),
            Column("frames", _COUNT, "frames that the call told of, 0 for a kick or an interrupt", "frames"),
            Column("bytes", _COUNT, "the frame's size there", "bytes"),
            Column("header", _SMALL, "how many of `data` come before the frame itself", "bytes"),
            Column("data", _TEXT, "its first 256 bytes in hex; empty where the stage has none in its hand"),
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
        "What one thread of QEMU, or its vhost worker, used over the window.",
        (
            _THREAD,
            _TID,
            Column("seconds", _REAL, "CPU time, user and system", "s"),
            Column("voluntary", _COUNT, "context switches because it waited", "switches"),
            Column("involuntary", _COUNT, "context switches because another thread had its turn", "switches"),
        ),
    ),
    TableSchema(
        "cpu_functions",
        "In which functions one thread was seen at work.",
        (
            _THREAD,
            _TID,
            Column("function", _TEXT, "the function, `[kernel]`, `[guest code]`, `[vdso]`, or `unknown`"),
            Column("file", _TEXT, "its file in QEMU's tree, else the binary's name, empty for `[…]`"),
            Column("samples", _COUNT, "how often it was seen", "samples"),
            Column("hertz", _SMALL, "samples a second on each processor", "Hz"),
        ),
    ),
    TableSchema(
        "copies",
        "What one function of QEMU's copied (level full). `frames` and `frame_bytes` are what was handed "
        "over to the peer meanwhile, the same in each row of a queue and direction.",
        (
            _NETDEV_ID,
            _QUEUE,
            _DIRECTION,
            _FUNCTION,
            _FILE,
            _LINE,
            _ATTACHED,
            _CALLS,
            Column("bytes", _COUNT, "bytes that it copied", "bytes"),
            Column("frames", _COUNT, "frames handed over meanwhile", "frames"),
            Column("frame_bytes", _COUNT, "and their bytes", "bytes"),
            _NOTE,
        ),
    ),
    TableSchema(
        "retransmissions",
        "How often libslirp's TCP sent again to the guest (level full, netdev `user`).",
        (
            _NETDEV_ID,
            Column("kind", _TEXT, "`timeout`, `fast` or `window probe`"),
            _FUNCTION,
            _FILE,
            _LINE,
            _ATTACHED,
            Column("count", _COUNT, "how often", "times"),
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
        "What was lost, missed, failed or left out, beside what was counted.",
        (
            Column("kind", _TEXT, "`lost`, `unattached`, `missed`, `failed`, `shared`, `suppressed`, …"),
            Column("item", _TEXT, "what it is about"),
            Column("count", _COUNT, "how many", "of the item"),
            Column("note", _TEXT, "what follows from it"),
        ),
    ),
)
TABLES: Mapping[str, TableSchema] = {table.name: table for table in _ALL}
SCHEMAS: Mapping[str, pa.Schema] = {table.name: table.schema for table in _ALL}

# The entries of run.json: name, type, meaning.
META = (
    ("format", "int", f"the format's number, {FORMAT}"),
    ("id", "str", "the run's name, its folder's when it was made"),
    ("qtrace", "str", "the release that wrote it"),
    ("created", "str", "when it was begun, ISO 8601 with the zone"),
    ("finished", "str", "when it was closed, null while it runs"),
    ("status", "str", "`running`, `complete`, `partial` (cells failed) or `interrupted`"),
    ("command", "list", "what followed `qtrace` on the command line"),
    ("venue", "str", "`host`, or `vm` for the lab machine; venues are never mixed"),
    ("venue_reason", "str", "why there"),
    ("conditions", "dict", "name -> text in the order of display: accelerator, CPU, kernel, QEMU, …"),
    ("plan", "dict", "the plan as data"),
    ("paths", "list", "the walked paths, each `Path.to_json()`"),
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
    """One file of the table `name`, written in the format `written`, with the columns of this format.

    Raises KeyError where it has other columns, ArrowException where a type does not fit.
    """
    for step in range(written, FORMAT):
        renamed = RENAMED[step].get(name, {})
        part = part.rename_columns([renamed.get(column, column) for column in part.column_names])
    schema = SCHEMAS[name]
    for column in TABLES[name].columns:
        if column.name not in part.column_names and column.later:
            empty = pa.array([column.absent] * len(part), column.type)
            part = part.append_column(column.field, empty)
        elif column.absent is not None:
            at = part.column_names.index(column.name)
            part = part.set_column(at, column.field, part.column(column.name).fill_null(column.absent))
    return part.select(schema.names).cast(schema)
