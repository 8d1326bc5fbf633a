"""Measurements besides the stages: NAME.py here and probes/NAME.bpf.c are an instrument, found by itself
(qtrace/measure/instrument_registry.py)."""
