"""Questions about a run: DataFrame in, DataFrame out, no I/O, one question in each file."""
