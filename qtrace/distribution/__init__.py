"""The names and tools of Linux distributions, one distribution in each file."""
