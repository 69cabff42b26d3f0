"""Lightning callbacks: quality, examples and the run's record."""
