"""What may limit or break a network: one cause a file, found by itself."""
