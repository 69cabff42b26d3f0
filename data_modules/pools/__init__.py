"""Pools of sounds: where clips come from, and how they are drawn."""
