"""Mixtures and pairs written to disk before training."""
