"""A guest: its kernel, its root, its QEMU process, its agent."""
