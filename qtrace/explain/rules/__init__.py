"""Findings about a network, one rule in each file: see `qtrace.explain.rule`."""
