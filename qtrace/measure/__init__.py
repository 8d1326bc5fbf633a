"""Measures one running QEMU: joins index, binary, tracer and command line."""
