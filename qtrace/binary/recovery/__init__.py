"""The functions of a stripped binary, recovered with the source index."""
