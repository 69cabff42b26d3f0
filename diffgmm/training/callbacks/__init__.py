"""Lightning callbacks: quality, examples and the run's record.

Import them from their modules. Processes that score load this package, and should not wait for Lightning.
"""
