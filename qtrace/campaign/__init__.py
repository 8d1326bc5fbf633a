"""A plan becomes cells, cells become jobs, jobs become a recorded run."""
