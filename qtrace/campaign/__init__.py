"""Turns a plan into cells, cells into jobs, and jobs into a recorded run."""
