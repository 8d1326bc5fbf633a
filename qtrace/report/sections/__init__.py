"""Sections of a report, one in each file."""
