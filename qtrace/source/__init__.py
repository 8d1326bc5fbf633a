"""QEMU's C tree becomes an index, and an index answers for paths."""
