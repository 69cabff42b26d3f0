"""Real, tiny denoisers for tests of callbacks: a spectral gate whose threshold is learnt, and a mixture model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.process import Bridge
from diffgmm.diffusion.representation import Complex
from diffgmm.diffusion.sampler_options import Estimate, SamplerConfig
from diffgmm.networks import UNet
from diffgmm.training.module import DiffGMM


class Pairs(Dataset[dict[str, Any]]):
    """The same clean signal with its noise at falling levels; item ``silent`` has a silent clean signal."""

    def __init__(self, clean: np.ndarray, noisy: np.ndarray, count: int, silent: int | None = None) -> None:
        self.clean, self.noise, self.count, self.silent = clean, noisy - clean, count, silent

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        clean = torch.from_numpy(self.clean * (index != self.silent))[None]
        noise = torch.from_numpy(self.noise)[None] * 10 ** (-index / 4)
        return {
            "noisy": clean + noise,
            "clean": clean,
            "snr": 5.0 * (1 + index),
            "name": f"june/pair {index}.wav",
        }


class Gate(L.LightningModule):
    """Scales every bin of the spectrogram by how far it stands above a threshold."""

    def __init__(self, pairs: Dataset[Any], batch_size: int = 2) -> None:
        super().__init__()
        self.sample_rate, self.pairs, self.batch_size = 16000, pairs, batch_size
        self.threshold = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        window = torch.hann_window(510)
        spectrum = torch.stft(x[:, 0], 510, 255, window=window, return_complex=True)
        gain = torch.sigmoid(2 * (spectrum.abs() - self.threshold))
        return torch.istft(spectrum * gain, 510, 255, window=window, length=x.shape[-1])[:, None], 1 - gain

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        return (self(batch["noisy"])[0] - batch["clean"]).abs().mean()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, torch.Tensor]:
        denoised, uncertainty = self(batch["noisy"])
        loss = (denoised - batch["clean"]).abs().mean()
        return {"loss": loss, "denoised": denoised, "uncertainty": uncertainty}

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, torch.Tensor]:
        return self.validation_step(batch, batch_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.pairs, self.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.pairs, self.batch_size)

    def test_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.pairs, self.batch_size)


def tiny_denoiser(estimate: Estimate = "mean") -> DiffGMM:
    """The smallest model of the library's own, the same each time."""
    torch.manual_seed(0)
    network = UNet([4, 4], [[4, 1], [2, 1]], features=4)
    return DiffGMM(
        Complex(hop=255, window="sqrt_hann"),
        network,
        MixtureHead(3),
        Bridge(),
        {"nll": 1.0, "noise_l1": 1.0},
        sampler=SamplerConfig(nfe=2, estimate=estimate),
    )


class Loader(L.LightningDataModule):
    """Batches of :class:`Pairs` for a module that has no loaders of its own."""

    def __init__(self, pairs: Pairs, batch_size: int = 2) -> None:
        super().__init__()
        self.pairs, self.batch_size, self.sample_rate = pairs, batch_size, 16000

    def train_dataloader(self) -> Any:
        return DataLoader(self.pairs, self.batch_size)

    val_dataloader = test_dataloader = train_dataloader


def two_processes(signals: Path, folder: Path) -> None:
    """Validate seven pairs on two processes; rank zero writes what was logged to ``folder/logged.pt``."""
    from diffgmm.metrics.torch_modules import MeanScore
    from diffgmm.training.callbacks.examples import LogExamples
    from diffgmm.training.callbacks.quality import QualityMetrics

    class WithMetric(Gate):
        """Also a torchmetrics class, reduced by Lightning; it cannot tell that an item is repeated."""

        def __init__(self, pairs: Dataset[Any]) -> None:
            super().__init__(pairs)
            self.si_sdr = MeanScore("si_sdr", 16000)

        def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, torch.Tensor]:
            outputs = super().validation_step(batch, batch_idx)
            self.si_sdr.update(outputs["denoised"], batch["clean"])
            self.log("reduced", self.si_sdr, on_epoch=True)
            return outputs

    clean, noisy = np.load(signals)
    trainer = L.Trainer(
        accelerator="cpu", devices=2, strategy="ddp_fork", logger=False, default_root_dir=folder,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        callbacks=[QualityMetrics(metrics=["si_sdr", "snr"], workers=0, snr_edges=[10.0, 20.0]), LogExamples(n=1)],
    )  # fmt: skip
    trainer.validate(WithMetric(Pairs(clean, noisy, 7, silent=2)), verbose=False)
    torch.save(dict(trainer.callback_metrics), folder / "logged.pt")


if __name__ == "__main__":
    two_processes(Path(sys.argv[1]), Path(sys.argv[2]))
