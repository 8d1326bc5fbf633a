"""Questions put to a run: DataFrame in, DataFrame out, no I/O, one question a file."""
