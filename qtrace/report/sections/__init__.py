"""What a report says of a run, one section a file."""
