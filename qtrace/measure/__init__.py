"""One running QEMU, measured: index, binary, tracer and command line joined."""
