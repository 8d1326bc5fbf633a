"""Traffic, one kind in each file. A workload runs for given seconds on a `Network` and returns metrics."""
