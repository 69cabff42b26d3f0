"""Whether the mixture is any good: likelihood, calibration, components in use."""

from __future__ import annotations

import math
import warnings
from typing import Any

import lightning as L
import torch

from diffgmm.audio import figures
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.sampler_options import whole_number
from diffgmm.metrics.coverage import pit
from diffgmm.metrics.crps import crps
from diffgmm.training.callbacks.loggers import log_image, run_folder
from diffgmm.training.callbacks.pair_callback import PairCallback, Places, when
from diffgmm.training.ranks import gathered

_BINS = 20  # of the histogram; even, so that central intervals are made of whole bins
_FIRST = 7  # sums before the histogram


class MixtureDiagnostics(PairCallback):
    """Judges the mixture that the model gives for the noise of validation and test pairs, from the noisy signal alone.

    That is its prediction at t = 1. Logged as ``val/mixture_...`` (``test/...`` in tests): ``nll`` in nats per bin
    and real dimension, ``crps`` in the representation's unit, ``coverage_50`` and ``coverage_90`` (share of bins
    whose noise lies in the central 50 % and 90 % interval), ``calibration_error`` (mean distance of such shares from
    what they should be, 0 to 0.5), ``components`` (in use: the exponential of the entropy of the mean
    responsibilities, 1 to K), ``components_per_bin`` (likewise of the weights of a single bin, mean over the bins),
    ``smallest_share`` (mean responsibility of the component used least; near 0 one has collapsed: see the ``balance``
    loss) and ``gaussian_gap`` (NLL of the Gaussian with each bin's mean and variance, minus ``nll``: what the
    mixture's shape earns, in nats per real dimension; below 0 it costs). Once an epoch a picture of the calibration
    goes to the loggers and to ``calibration/epoch_003.png`` in the run's folder. It takes one network call per pair.
    Under DDP every pair counts once.

    Args:
        limit: judge the first so many pairs.
        picture: draw the picture.

    Raises:
        ValueError: ``limit`` below 1; when validation starts, a module without a mixture model.
    """

    def __init__(self, limit: int = 16, picture: bool = True) -> None:
        self.limit, self.picture = whole_number("limit", limit, 1), picture
        self._sums = torch.zeros(0)

    def start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not isinstance(model := getattr(module, "model", None), MixtureDenoiser):
            raise ValueError("MixtureDiagnostics: the module's model must be a MixtureDenoiser")
        self._sums = torch.zeros(_FIRST + _BINS + model.head.components, dtype=torch.float64)

    def add(self, trainer: L.Trainer, outputs: Any, batch: Any, loader: int, places: Places) -> None:
        chosen = [i for i, place in enumerate(places) if place is not None and place < self.limit]
        if chosen and not loader:
            model: Any = trainer.lightning_module.model
            with torch.no_grad(), trainer.precision_plugin.val_step_context():
                pairs = batch["noisy"][chosen], batch["clean"][chosen]
                self._sums = self._sums + tally(*model.posterior_and_target(*pairs))

    def finish(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        sums = torch.stack(gathered(trainer, self._sums)).sum(0)
        values = summary(sums)
        logged = {f"{stage}/mixture_{name}": value for name, value in values.items()}
        module.log_dict(logged, sync_dist=trainer.world_size > 1)  # equal on all ranks already
        if self.picture and trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False):
            self._draw(trainer, stage, sums, values)

    def _draw(self, trainer: L.Trainer, stage: str, sums: torch.Tensor, values: dict[str, float]) -> None:
        title = f"{stage}, epoch {trainer.current_epoch}, step {trainer.global_step}: " + ", ".join(
            f"{key} {value:.3g}" for key, value in values.items() if key in ("nll", "crps", "components")
        )
        folder = run_folder(trainer) / "calibration"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            histogram = sums[_FIRST : _FIRST + _BINS]
            shares = (histogram / histogram.sum().clamp_min(1)).tolist()
            figure = figures.calibration_panel(shares, folder / f"{when(trainer, stage)}.png", title)
            log_image(trainer, f"{stage}_calibration", figures.rgb(figure))
        except OSError as error:
            warnings.warn(f"no picture of the calibration: {error}", stacklevel=2)


def tally(mixture: GaussianMixture, noise: torch.Tensor) -> torch.Tensor:
    """Sums that add up over batches and ranks, float64 on the CPU.

    Args:
        mixture: of the noise.
        noise: the true one, ``[B, C, *S]``.

    Returns:
        ``[7 + bins + K]``: positions, their NLL, real dimensions, their CRPS, bins in the central 90 % interval, the
        entropy of the weights, the NLL of the Gaussian of equal moments, the histogram of the PIT, and the
        responsibilities.
    """
    nll, score, u = mixture.nll(noise), crps(mixture, noise), pit(mixture, noise)
    finite = torch.isfinite(nll) & torch.isfinite(score).all(1) & torch.isfinite(u).all(1)

    def kept(values: torch.Tensor) -> torch.Tensor:
        """``[B, C, *S]`` or ``[B, *S]`` to ``[positions, C]`` or ``[positions]``."""
        values = values.movedim(1, -1) if values.dim() > finite.dim() else values
        return values[finite].cpu().double()

    variance = mixture.variance()
    gaussian = 0.5 * ((noise - mixture.mean()).square() / variance + (2 * math.pi * variance).log()).mean(1)
    entropy = -(mixture.weights * mixture.log_weights).sum(1)
    u = kept(u)
    within = ((u - 0.5).abs() <= 0.45).sum()
    sums = [kept(values).sum() for values in (nll, score, entropy, gaussian)]
    first = [finite.sum().cpu(), sums[0], torch.tensor(u.numel()), sums[1], within, *sums[2:]]
    shares = kept(mixture.responsibilities(noise)).sum(0)
    counts = torch.stack([value.double() for value in first])
    return torch.cat([counts, torch.histc(u, _BINS, 0.0, 1.0), shares])


def summary(sums: torch.Tensor) -> dict[str, float]:
    """Figures out of what :func:`tally` gave; NaN if it saw nothing."""
    positions, nll, dimensions, score, within, entropy, gaussian = sums[:_FIRST]
    histogram, shares = sums[_FIRST : _FIRST + _BINS], sums[_FIRST + _BINS :]
    central = central_shares(histogram)
    levels = torch.arange(1, _BINS // 2 + 1, dtype=torch.float64) / (_BINS // 2)
    p = shares / shares.sum()
    values = {
        "nll": nll / positions,
        "crps": score / dimensions,
        "coverage_50": central[_BINS // 4 - 1],
        "coverage_90": within / dimensions,
        "calibration_error": (central - levels).abs().mean(),
        "components": torch.exp(-torch.special.xlogy(p, p).sum()),
        "components_per_bin": torch.exp(entropy / positions),
        "smallest_share": p.min(),
        "gaussian_gap": (gaussian - nll) / positions,
    }
    return {name: float(value) for name, value in values.items()}


def central_shares(histogram: torch.Tensor) -> torch.Tensor:
    """Share of values in the central intervals made of 2, 4, 6 ... bins of a PIT histogram."""
    lower, upper = histogram.chunk(2)
    return (upper + lower.flip(0)).cumsum(0) / histogram.sum()
