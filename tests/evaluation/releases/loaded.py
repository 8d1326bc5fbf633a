"""Runs in a release's lab machine: its kernel takes every program, and every probe at its own functions."""

import os
import platform

import bcc
from vhost_driver import load_all

from qtrace.measure.instrument_registry import open_full_engine
from qtrace.probes import families
from qtrace.trace.bpf.attachments import Attachments


def main() -> None:
    placed = []
    with open_full_engine() as engine:
        load_all(engine)
        attached = Attachments(engine._module, os.getpid())
        for point in (point for family in families() for point in family.points):
            for program in (program for kind, program in point.programs if kind == "kprobe"):
                attached.kprobe(program, point.function, instead=point.instead)
                placed.append(point.function)
        attached.close()
    assert "eventfd_signal" in placed, placed
    print(
        f"Linux {platform.release()} takes every program as bcc {bcc.__version__} compiles it, and probes at "
        f"{', '.join(placed)}"
    )


if __name__ == "__main__":
    main()
