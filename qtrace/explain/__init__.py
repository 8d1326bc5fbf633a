"""A QEMU command line becomes a network, as the indexed tree reads it."""
