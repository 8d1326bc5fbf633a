"""Builds an index from QEMU's C source tree."""
