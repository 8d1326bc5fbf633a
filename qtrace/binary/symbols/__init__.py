"""Addresses for names and names for addresses, from symbols or by recovery."""
