"""Runtimes that run the default setting of a model."""
