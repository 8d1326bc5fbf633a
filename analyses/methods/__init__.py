"""What the questions share: a run's tables, statistics, histograms, the registry."""
