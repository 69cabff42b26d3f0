"""Measurements of speed, memory and scaling."""
