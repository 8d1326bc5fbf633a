"""The functions of a stripped binary found again with the source index."""
