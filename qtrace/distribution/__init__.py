"""What a Linux distribution calls things, one distribution a file."""
