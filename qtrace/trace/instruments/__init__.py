"""What a session can have besides the counts of its stages."""
