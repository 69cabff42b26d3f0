"""Whether the mixture is any good: likelihood, calibration, components in use."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn

from diffgmm.audio import figures
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.metrics.coverage import pit
from diffgmm.metrics.crps import crps
from diffgmm.training.callbacks.loggers import log_image, run_folder
from diffgmm.training.callbacks.pair_callback import PairCallback
from diffgmm.training.ranks import position

_BINS = 20  # of the histogram; even, so that central intervals are made of whole bins
_FIRST = 7  # sums before the histogram
NAMES = (
    "nll", "crps", "coverage_50", "coverage_90", "calibration_error", "components", "components_per_bin",
    "smallest_share", "gaussian_gap",
)  # fmt: skip
"""What :func:`summary` gives."""


class MixtureDiagnostics(PairCallback):
    """Judges the mixture that the model gives for the noise of validation and test pairs, from the noisy signal alone.

    That is its answer at t = 1. Logged as ``val/mixture_...`` (``test/...`` in tests): ``nll`` in nats per bin and real
    dimension, ``crps`` in the representation's unit, ``coverage_50`` and ``coverage_90`` (share of bins whose noise
    lies in the central 50 % and 90 % interval), ``calibration_error`` (mean distance of such shares from what they
    should be, 0 to 0.5), ``components`` (in use: the exponential of the entropy of the mean responsibilities, 1 to
    K), ``components_per_bin`` (likewise of the weights of a single bin, mean over the bins), ``smallest_share`` (mean
    responsibility of the component used least; near 0 one has collapsed: see the ``balance`` loss) and
    ``gaussian_gap`` (NLL of the Gaussian with each bin's mean and variance, minus ``nll``: what the mixture's shape
    earns, in nats per real dimension; below 0 it costs). Once an epoch a picture of the calibration goes to the loggers
    and to ``calibration/epoch_003.png`` in the run's folder. It takes one network call per pair. Under DDP every pair
    counts once.

    Args:
        limit: judge the first so many pairs.
        picture: draw the picture.

    Raises:
        ValueError: ``limit`` below 1; when validation starts, a module without a mixture model.
    """

    def __init__(self, limit: int = 16, picture: bool = True) -> None:
        if limit < 1:
            raise ValueError(f"MixtureDiagnostics: limit must be at least 1, got {limit}")
        self.limit, self.picture = limit, picture
        self._active = False
        self._seen: Counter[int] = Counter()
        self._sums: torch.Tensor | None = None
        self._components = 0

    def start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._active = not trainer.sanity_checking
        self._seen, self._sums = Counter(), None
        model = getattr(module, "model", None)
        if not all(hasattr(model, name) for name in ("posterior", "representation", "head")):
            raise ValueError("MixtureDiagnostics: the module's model must be a MixtureDenoiser")
        self._components = int(model.head.components)  # type: ignore[union-attr]

    def add(
        self, trainer: L.Trainer, outputs: Mapping[str, Any], batch: Any, loaders: Any, loader_index: int
    ) -> None:
        if not self._active:
            return
        chosen = []
        for i in range(len(batch["clean"])):
            place = position(trainer, loaders, loader_index, self._seen[loader_index])
            self._seen[loader_index] += 1
            if place is not None and place < self.limit and not loader_index:
                chosen.append(i)
        if not chosen:
            return
        model: Any = trainer.lightning_module.model
        with torch.no_grad(), trainer.precision_plugin.val_step_context():
            sums = tally(*model.posterior_and_target(batch["noisy"][chosen], batch["clean"][chosen]))
        self._sums = sums if self._sums is None else self._sums + sums

    def finish(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        if not self._active:
            return
        sums = (
            torch.zeros(_FIRST + _BINS + self._components, dtype=torch.float64)
            if self._sums is None
            else self._sums
        )
        if trainer.world_size > 1:
            everyones: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(everyones, sums)
            sums = torch.stack(everyones).sum(0)
        found = summary(sums)
        logged = {f"{stage}/mixture_{name}": value for name, value in found.items()}
        module.log_dict(logged, sync_dist=trainer.world_size > 1)  # equal on all ranks already
        if self.picture and trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False):
            self._draw(trainer, stage, sums, found)

    def _draw(self, trainer: L.Trainer, stage: str, sums: torch.Tensor, found: dict[str, float]) -> None:
        fitting = trainer.state.fn == TrainerFn.FITTING
        name = f"epoch_{trainer.current_epoch:03d}" if fitting else stage
        title = f"{stage}, epoch {trainer.current_epoch}, step {trainer.global_step}: " + ", ".join(
            f"{key} {value:.3g}" for key, value in found.items() if key in ("nll", "crps", "components")
        )
        folder = run_folder(trainer) / "calibration"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            histogram = sums[_FIRST : _FIRST + _BINS]
            shares = (histogram / histogram.sum().clamp_min(1)).tolist()
            figure = figures.calibration_panel(shares, folder / f"{name}.png", title)
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
    log_likelihood, score, u = mixture.nll(noise), crps(mixture, noise), pit(mixture, noise)
    good = torch.isfinite(log_likelihood) & torch.isfinite(score).all(1) & torch.isfinite(u).all(1)
    variance = mixture.variance()
    gaussian = 0.5 * ((noise - mixture.mean()).square() / variance + (2 * math.pi * variance).log()).mean(1)
    entropy = -(mixture.weights * mixture.log_weights).sum(1)
    u = u.movedim(1, -1)[good].double().cpu()
    parts = [
        good.sum(),
        log_likelihood[good].double().sum() if good.device.type != "mps" else log_likelihood[good].sum(),
        torch.tensor(u.numel()),
        score.movedim(1, -1)[good].cpu().double().sum(),
        ((u - 0.5).abs() <= 0.45).sum(),
        entropy[good].cpu().double().sum(),
        gaussian[good].cpu().double().sum(),
    ]
    histogram = torch.histc(u, _BINS, 0.0, 1.0)
    shares = mixture.responsibilities(noise).movedim(1, -1)[good].cpu().double().sum(0)
    return torch.cat([torch.stack([part.cpu().double() for part in parts]), histogram, shares])


def summary(sums: torch.Tensor) -> dict[str, float]:
    """Figures out of what :func:`tally` gave; NaN if it saw nothing."""
    positions, log_likelihood, dimensions, score, within, entropy, gaussian = sums[:_FIRST].tolist()
    histogram, shares = sums[_FIRST : _FIRST + _BINS], sums[_FIRST + _BINS :]
    if not positions:
        return dict.fromkeys(NAMES, math.nan)
    central = central_shares(histogram)
    levels = torch.arange(1, _BINS // 2 + 1, dtype=torch.float64) / (_BINS // 2)
    p = shares / shares.sum()
    values = (
        log_likelihood / positions,
        score / dimensions,
        float(central[_BINS // 4 - 1]),
        within / dimensions,
        float((central - levels).abs().mean()),
        float(torch.exp(-torch.special.xlogy(p, p).sum())),
        math.exp(entropy / positions),
        float(p.min()),
        (gaussian - log_likelihood) / positions,
    )
    return dict(zip(NAMES, values, strict=True))


def central_shares(histogram: torch.Tensor) -> torch.Tensor:
    """Share of values in the central intervals made of 2, 4, 6 ... bins of a PIT histogram."""
    half = len(histogram) // 2
    pairs = histogram[half:] + histogram[:half].flip(0)
    return pairs.cumsum(0) / histogram.sum()
