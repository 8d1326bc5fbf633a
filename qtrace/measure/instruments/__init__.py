"""Measurements besides the stages, one instrument a file."""
