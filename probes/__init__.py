"""eBPF probes: name.py beside name.bpf.c, one kernel or QEMU boundary each."""

from qtrace.probes.family import Family, Point, families, point_for, program_text

__all__ = ["Family", "Point", "families", "point_for", "program_text"]
