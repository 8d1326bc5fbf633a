"""What a binary's code shows by its bytes: bodies, calls, what is handed on, how it ends."""
