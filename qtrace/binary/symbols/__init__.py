"""Names for addresses and addresses for names, by symbol or recovered."""
