"""A binary's code, by its bytes: bodies, calls, addresses that are handed on, exits."""
