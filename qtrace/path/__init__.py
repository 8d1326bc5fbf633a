"""An index answers for ways: NIC x netdev x direction, step by step."""
