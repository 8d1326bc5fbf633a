"""What to know of a network, one rule a file: see `qtrace.explain.rule`."""
