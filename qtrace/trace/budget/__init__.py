"""The share of a processor that probing may take, and the regulator that keeps a session within it."""
