"""Formats of a report, of a walk and of sampled frames, one in each file."""
