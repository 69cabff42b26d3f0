"""Denoising of arrays, files and streams with a trained model; PyTorch is loaded when something needs it."""

from diffgmm.inference.denoiser import Denoiser, denoise, load
from diffgmm.inference.files import Denoised, denoise_file, denoise_folder
from diffgmm.inference.streaming import StreamingDenoiser

__all__ = ["Denoised", "Denoiser", "StreamingDenoiser", "denoise", "denoise_file", "denoise_folder", "load"]
