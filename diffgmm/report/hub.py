"""Models on the Hugging Face Hub, or in a folder laid out like one there.

Example:
    >>> from diffgmm.report.hub import HubModel
    >>> HubModel("runs/mine/last.safetensors").push_to_hub("me/denoiser")  # doctest: +SKIP
    >>> denoiser = HubModel.from_pretrained("me/denoiser").denoiser()      # doctest: +SKIP
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download

from diffgmm.diffusion.pretrained import ModelError, model_path, read_description
from diffgmm.report.model_card import render

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self

    from diffgmm.inference.denoiser import Denoiser

_ENDINGS = (".safetensors", ".json", ".onnx")  # of NAME; the graph knows the weights by their name


class HubModel(
    ModelHubMixin,
    library_name="diffgmm",
    tags=["speech-enhancement", "denoising", "audio-to-audio"],
    pipeline_tag="audio-to-audio",
    license="mit",
):
    """A saved model's files with ``save_pretrained``, ``push_to_hub`` and ``from_pretrained``.

    Args:
        name: a shipped model by name, or a ``.safetensors`` or ``.json`` file; a checkpoint becomes one by
            ``diffgmm export --format safetensors``.

    Raises:
        ModelError: no such model, or a checkpoint.
    """

    def __init__(self, name: str | os.PathLike[str] = "base") -> None:
        self.path = model_path(name)
        self._hub_mixin_config = None  # it would publish the path on this machine
        if self.path.suffix == ".ckpt":
            raise ModelError(
                f"{self.path}: a checkpoint; `diffgmm export --format safetensors` makes a model of it"
            )

    def denoiser(
        self,
        device: str | torch.device = "cpu",
        *,
        backend: str = "auto",
        threads: int | None = None,
        trust: Collection[str] = (),
    ) -> Denoiser:
        """The model, ready to denoise; arguments as in :meth:`diffgmm.inference.Denoiser.from_pretrained`."""
        from diffgmm.inference.denoiser import Denoiser

        return Denoiser.from_pretrained(self.path, device, backend, threads, trust)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The model's own card, with what the Hub wants to know in front of it."""
        front = super().generate_model_card(*args, **kwargs).data.to_yaml()
        card = render(self.path.stem, read_description(self.path.with_suffix(".json")))
        return ModelCard(f"---\n{front}\n---\n\n{card}")

    def _save_pretrained(self, save_directory: Path) -> None:
        for ending in _ENDINGS:
            source = self.path.with_suffix(ending)
            if source.is_file():
                shutil.copyfile(source, save_directory / source.name)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> Self:
        folder = Path(model_id)
        if not folder.is_dir():
            # What else the mixin hands over is what config.json tells.
            known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
            asked = {name: value for name, value in options.items() if name in known}
            patterns = [f"*{ending}" for ending in _ENDINGS]
            folder = Path(snapshot_download(model_id, allow_patterns=patterns, **asked))
        files = list(folder.glob("*.safetensors"))
        if len(files) != 1:
            raise ModelError(f"{model_id}: holds {len(files)} .safetensors files, a diffgmm model is one")
        return cls(files[0])
