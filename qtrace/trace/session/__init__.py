"""One traced process: the stage in each slot, the probes, the counts."""
