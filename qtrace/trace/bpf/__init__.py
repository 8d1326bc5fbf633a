"""eBPF programs: compiled and kept, attached, their sums, and the cost of a hit."""
