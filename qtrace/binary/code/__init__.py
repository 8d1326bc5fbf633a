"""The code of a binary, read by its bytes: function bodies, calls, passed addresses, exits."""
