"""docs/run-format.md: the run format as the schema, the instruments and the workloads describe it."""

from __future__ import annotations

from collections.abc import Iterable

from qtrace.lab.workload.workload import workloads
from qtrace.measure.instrument_registry import instrument_tables
from qtrace.store.run_schema import FORMAT, KEY, META, OLDEST, RENAMED, TABLES, Column

PAGE = "docs/run-format.md"

_HEAD = f"""# The run format (version {FORMAT})

This page is made by `make docs` from `qtrace/store/run_schema.py`, the `COLUMNS` of
`qtrace/measure/instruments/` and the `METRICS` of `qtrace/lab/workload/`.

A run is a folder. Tables are long, one Parquet file a measurement, partitioned by cell: pandas reads one,
DuckDB, Dask or Spark read ten thousand.

```
RUN/run.json                                  metadata, see below
RUN/raw/MEASUREMENT/NAME.json                 what iperf3 and sockperf said, word for word
RUN/data/TABLE/cell=CELL/MEASUREMENT.parquet
RUN/data/TABLE/cell=every/NUMBER.parquet
```

`MEASUREMENT` is `CELL.REP.probed` or `CELL.REP.plain`. Every file is written beside its place and renamed,
`run.json` too: what was recorded stays readable whenever the writer dies. `qtrace merge` packs the rows of
many measurements, sorted by cell, into `cell=every`. The column `cell` has the cell; tell DuckDB and others
that the folder's name is none (`hive_partitioning = false`).

In a table `netdev` is the netdev's kind (`tap`, `user`) and `netdev_id` its name; `bucket` is a histogram's,
and holds what took from 2^bucket up to 2^(bucket + 1) ns. Each column has its unit and its meaning in the
files too, as the Arrow field's metadata `unit` and `description`:

```python
pyarrow.parquet.read_schema(file).field("time_ns").metadata
```
"""

_METRICS = """What `results` has of a measurement that went well. One that failed has one row with the metric
`none`, its status and its reason.
"""
_OLDER = f"""Runs of format {OLDEST} to {FORMAT} are read. An older run is read as if it had the columns
of this format, and nothing is written into it. A newer one is refused.
"""


def text() -> str:
    """The page."""
    parts = [_HEAD, "## run.json\n", _grid("entry|type|meaning", META)]
    parts += ["\n## Columns of every table\n", _columns(KEY)]
    parts += ["\n## Tables\n", "A count of what could not be measured is 0, with `attached` false.\n"]
    own = {table.name: table for table in instrument_tables()}
    for table in (TABLES | own).values():
        parts += [f"### {table.name}\n", f"{table.meaning}\n", _columns(table.columns), ""]
    parts += ["## Metrics\n", _METRICS, _grid("workload|metric|unit|better", _metrics())]
    parts += ["\n## Older formats\n", _OLDER, _grid("format|table|column|in the next format", _renamed())]
    return "\n".join(parts) + "\n"


def _columns(columns: Iterable[Column]) -> str:
    rows = ((f"`{column.name}`", column.type, column.unit, column.meaning) for column in columns)
    return _grid("column|type|unit|meaning", rows)


def _metrics() -> Iterable[tuple[object, ...]]:
    for workload in workloads().values():
        for metric in workload.metrics:
            yield workload.name, f"`{metric.name}`", metric.unit, metric.better


def _renamed() -> Iterable[tuple[object, ...]]:
    for number, tables in RENAMED.items():
        for table, names in tables.items():
            for old, new in names.items():
                yield number, table, f"`{old}`", f"`{new}`"


def _grid(heads: str, rows: Iterable[Iterable[object]]) -> str:
    names = heads.split("|")
    lines = [names, ["---"] * len(names), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
