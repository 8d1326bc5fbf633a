"""Measurements besides the stages. NAME.py here and probes/NAME.bpf.c are an instrument, found by its place
in the folder (qtrace/measure/instrument_registry.py)."""
