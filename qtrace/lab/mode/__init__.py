"""A connection mode, live: its file, its topology, its guests."""
