"""Denoise speech by modelling the noise with a Gaussian mixture inside a diffusion process."""

__version__ = "0.1.0"
