"""Formats of a report, of a walk and of sampled frames, one a file."""
