"""What probing may take of a processor, and what keeps a session within it."""
