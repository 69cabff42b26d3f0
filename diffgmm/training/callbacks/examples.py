"""Pictures and audio of a few fixed pairs, epoch after epoch."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn

from diffgmm import audio
from diffgmm.audio import figures
from diffgmm.training.callbacks.loggers import log_audio, log_image, run_folder
from diffgmm.training.callbacks.pair_callback import PairCallback, Places, when
from diffgmm.training.ranks import sample_rate_of, signal


def _file_name(name: str) -> str:
    """What a pair's name contributes to a file's: without folders, ending and unusual characters."""
    path = Path(name)
    return re.sub(r"[^\w.+-]+", "_", path.stem if audio.is_audio(path) else path.name).strip("._")[:80]


class LogExamples(PairCallback):
    """Shows the first pairs of the validation or test data to every logger and in the run's folder.

    Per pair and epoch: ``examples/epoch_003/NAME.png`` with spectrograms of noisy, denoised, clean, estimated
    noise and the model's uncertainty, and ``NAME.wav`` with the denoised audio; once, ``examples/reference/``
    with the noisy and the clean audio. TensorBoard and W&B get the same images and audio. Only rank zero
    writes. What cannot be written (disk full, NaN from the model) is a warning, training goes on.

    Args:
        n: how many pairs.
        every_n_epochs: in training, show every so many epochs.
        sample_rate: of the signals in Hz; ``null`` asks the data module, then the module.
        images: draw pictures.
        audio: keep audio.

    Raises:
        ValueError: numbers out of range; when validation starts, no sample rate found or a module whose step
            does not return ``denoised``.
    """

    def __init__(
        self,
        n: int = 4,
        every_n_epochs: int = 1,
        sample_rate: int | None = None,
        images: bool = True,
        audio: bool = True,
    ) -> None:
        if n < 1 or every_n_epochs < 1:
            raise ValueError("LogExamples: n and every_n_epochs must be at least 1")
        self.n, self.every_n_epochs, self.sample_rate = n, every_n_epochs, sample_rate
        self.images, self.audio = images, audio
        self._shown = 0  # in this epoch
        self._folder = Path()
        self._heard: set[str] = set()  # references that loggers and folder have

    def start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        fitting = trainer.state.fn == TrainerFn.FITTING
        due = not fitting or trainer.current_epoch % self.every_n_epochs == 0
        self._active &= due and trainer.is_global_zero
        self._active &= not getattr(trainer, "fast_dev_run", False)  # which promises to leave nothing behind
        self._shown = 0
        self._folder = run_folder(trainer) / "examples" / when(trainer, "test" if trainer.testing else "val")
        # Validation may run several times in an epoch, and a run may go on in the folder of an earlier one.
        if fitting and self._folder.exists():
            self._folder = self._folder.with_name(f"{self._folder.name}_step_{trainer.global_step}")

    def add(self, trainer: L.Trainer, outputs: Any, batch: Any, loader: int, places: Places) -> None:
        ratios = batch.get("snr", torch.full((len(places),), math.nan))
        names, uncertainty = batch.get("name") or [""] * len(places), outputs.get("uncertainty")
        for i in range(0 if loader else min(len(places), self.n - self._shown)):
            name = f"{self._shown:02d}_{_file_name(str(names[i]))}".rstrip("_")
            x = {"noisy": batch["noisy"], "denoised": outputs["denoised"], "clean": batch["clean"]}
            signals = {kind: signal(values[i]) for kind, values in x.items()}
            uncertain = None if uncertainty is None else uncertainty[i].detach().float().cpu().numpy()
            self._shown += 1
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._show(trainer, name, float(ratios[i]), signals, uncertain)
            except (OSError, audio.AudioError) as error:
                self._shown = self.n
                warnings.warn(f"examples are missing: {error}", stacklevel=2)
                return

    def _show(
        self, trainer: L.Trainer, name: str, snr: float, signals: dict[str, np.ndarray], uncertainty: Any
    ) -> None:
        rate = self.sample_rate or sample_rate_of(trainer, trainer.lightning_module)
        denoised = signals["denoised"]
        tag = f"{'test' if trainer.testing else 'val'}_examples/{name}"
        if not np.isfinite(denoised).all():
            warnings.warn(f"example {name}: the model's output holds NaN or Inf", stacklevel=2)
            return
        if self.audio:
            audio.write(self._folder / f"{name}.wav", denoised, rate, overwrite=True)
            log_audio(trainer, f"{tag}/denoised", denoised, rate)
            if name not in self._heard:
                self._heard.add(name)
                reference = self._folder.parent / "reference"
                reference.mkdir(exist_ok=True)
                for kind in ("noisy", "clean"):
                    audio.write(reference / f"{name}.{kind}.wav", signals[kind], rate, overwrite=True)
                    log_audio(trainer, f"{tag}/{kind}", signals[kind], rate)
        if self.images:
            panels = {**signals, "estimated noise": signals["noisy"] - denoised}
            ratio = f", {snr:.1f} dB" if math.isfinite(snr) else ""
            title = f"{name}{ratio}, epoch {trainer.current_epoch}, step {trainer.global_step}"
            figure = figures.spectrogram_panel(panels, rate, self._folder / f"{name}.png", uncertainty, title)
            if trainer.loggers:
                log_image(trainer, tag, figures.rgb(figure))
