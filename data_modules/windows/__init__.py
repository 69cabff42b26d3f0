"""Datasets of windows: mixed on the fly, recorded pairs, and fixed pairs for validation and test."""
