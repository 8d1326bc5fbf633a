"""The ELF file and what stands beside it: build id, debug files, its own version."""
