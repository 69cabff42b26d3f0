"""The reverse process step by step: what a recording sounds like on its way from noisy to clean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffgmm.audio import resample
from diffgmm.audio.levels import to_mono
from diffgmm.inference.any_rate import check_settings, recording

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from diffgmm.diffusion.sampler_options import Sampling
    from diffgmm.inference.denoiser import Denoiser

STEPS = 12


class State(NamedTuple):
    """Where the process is: its time, 1 at the noisy end and 0 at the clean one, and the sound, ``[samples]``."""

    time: float
    waveform: np.ndarray


def walk(
    denoiser: Denoiser, x: np.ndarray, sample_rate: int, *, seed: int = 0, **sampling: Unpack[Sampling]
) -> list[State]:
    """The states of one reverse run, the first one ``x`` itself.

    Args:
        denoiser: the model.
        x: float ``[channels, samples]`` or ``[samples]``, some seconds: it goes through the network in one piece.
            Channels are averaged.
        sample_rate: of ``x``, Hz.
        seed: of the noise of the process and of samples.
        sampling: as in :meth:`diffgmm.inference.Denoiser.denoise`, but ``nfe`` is :data:`STEPS` if left out.

    Returns:
        ``nfe + 1`` states at the model's rate, float32.

    Raises:
        ValueError: a setting out of range, ``x`` of another shape, or NaN or Inf in it.
    """
    import torch

    from diffgmm.diffusion.model import MixtureDenoiser
    from diffgmm.diffusion.samplers import sample
    from diffgmm.utils.random import keyed_generator

    x = np.atleast_2d(recording(x))
    check_settings(sample_rate, len(x), 1.0)
    rate, model = denoiser.sample_rate, denoiser.model
    if not isinstance(model, MixtureDenoiser):
        raise ValueError(f"{type(model).__name__} is no mixture model, so there is no walk to show")
    heard = denoiser.prepare(resample(to_mono(x)[None], sample_rate, rate))
    given: Sampling = {"nfe": STEPS, **sampling}
    options = denoiser.options(**given)
    _, exponent = np.frexp(np.abs(heard).max(initial=0.0) or 1.0)
    noisy = torch.from_numpy(np.ldexp(heard, -exponent)[None]).to(denoiser.device)
    with torch.inference_mode():
        context = model.representation.context(noisy)
        encoded = model.representation.encode(noisy, context)
        states = [State(1.0, heard[0])]

        def keep(step: dict[str, Any]) -> None:
            sound = model.representation.decode(step["x"], context)[0, 0].float().cpu().numpy()
            states.append(State(float(step["t_next"]), np.ldexp(sound, exponent)))

        generator = keyed_generator(denoiser.device, seed, 0, 0)
        sample(model.posterior, encoded, model.process, options, generator=generator, callback=keep)
    return states
