"""The traced QEMU as /proc and its memory show it: threads, descriptors, network clients, owners."""
