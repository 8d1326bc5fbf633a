"""Addresses for names and names for addresses, by symbol or recovered."""
