"""An ELF file becomes addresses: symbols, and recovery for stripped binaries."""
