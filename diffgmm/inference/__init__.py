"""Denoising of arrays, files and streams with a trained model; PyTorch is loaded when something needs it."""

from diffgmm.inference.arrays import denoise, load
from diffgmm.inference.denoiser import Denoiser
from diffgmm.inference.files import Denoised, denoise_file, denoise_folder
from diffgmm.inference.streaming import StreamingDenoiser

__all__ = ["Denoised", "Denoiser", "StreamingDenoiser", "denoise", "denoise_file", "denoise_folder", "load"]
