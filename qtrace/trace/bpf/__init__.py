"""eBPF itself: programs compiled and kept, put on places, what they add up, what a hit costs."""
