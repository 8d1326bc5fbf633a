"""Finds paths in an index: NIC x netdev x direction, step by step."""
