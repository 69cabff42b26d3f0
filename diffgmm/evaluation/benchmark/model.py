"""A model in a process of its own, started with its file, settings, trusted packages (JSON) and threads."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from diffgmm.evaluation.baselines.worker import Denoise, claim_stdout, serve


def main(argv: list[str]) -> int:
    """Serve a model with the settings of a candidate."""
    replies = claim_stdout()
    path, settings, trust, threads = argv[0], json.loads(argv[1]), json.loads(argv[2]), int(argv[3])

    def load() -> tuple[Denoise, Callable[[np.ndarray, int], dict[str, Any]]]:
        import torch

        from diffgmm.diffusion.saving import load_model
        from diffgmm.inference import Denoiser

        torch.set_num_threads(threads)
        denoiser = Denoiser.from_pretrained(path, threads=threads, trust=trust)

        def denoise(x: np.ndarray, rate: int) -> np.ndarray:
            return denoiser.denoise(x, rate, **settings)

        def count(x: np.ndarray, rate: int) -> dict[str, Any]:
            model, description = load_model(path, trust)
            plain = Denoiser(model, description)  # PyTorch counts what it computes itself
            parameters = sum(parameter.numel() for parameter in model.parameters())
            counted = macs(lambda: plain.denoise(x, rate, **settings))
            return {"parameters": parameters, "macs_per_s": counted * rate / len(x)}

        return denoise, count

    return serve(load, replies)


def macs(compute: Callable[[], object]) -> float:
    """Multiply-accumulate operations of matrix products and convolutions (not of Fourier transforms)."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        compute()
    return counter.get_total_flops() / 2
