"""eBPF probes: name.py beside name.bpf.c, one kernel or QEMU boundary each."""

from qtrace.probes.family import Family, Point, Source, families, losses, point_for, program_text, sources_in

__all__ = ["Family", "Point", "Source", "families", "losses", "point_for", "program_text", "sources_in"]
