"""Steps that put new weights into the package."""
