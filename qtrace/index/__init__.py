"""QEMU's C tree becomes an index."""
