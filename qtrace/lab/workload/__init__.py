"""Traffic, one kind a file. A workload runs for given seconds on a `Network` and says what it saw."""
