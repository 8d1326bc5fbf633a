"""Methods that the analyses share: a run's tables, statistics, histograms, the registry."""
