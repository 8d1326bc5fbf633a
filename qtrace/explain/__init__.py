"""Interprets a QEMU command line as a network, by the rules of the indexed tree."""
