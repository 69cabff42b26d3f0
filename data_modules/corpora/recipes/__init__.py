"""Recipes: one corpus a file."""
