"""Mutation testing of the mathematics: small changes that some test must notice."""
