"""Measures counts and times of a process: prerequisites, probes, readings, the ledger's lines."""
