"""eBPF programs: compiled and cached, attached, their sums, and the cost of a hit."""
