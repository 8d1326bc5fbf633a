"""What is measured besides the stages, one instrument a file."""
