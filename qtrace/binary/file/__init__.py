"""An ELF file with its build id, its debug files and its version."""
