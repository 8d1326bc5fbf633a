"""The traced QEMU, read from /proc and its memory: threads, descriptors, network clients, owners."""
