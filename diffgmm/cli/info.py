"""``diffgmm info``: what is installed here and what it can use."""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

from diffgmm.cli.options import add_shared, model_file
from diffgmm.utils.errors import UsageError
from diffgmm.utils.provenance import installed
from diffgmm.utils.version import __version__

HELP = "print versions, devices, models and folders"
PACKAGES = (
    "torch", "torchaudio", "lightning", "torchmetrics", "jsonargparse", "numpy", "librosa", "soundfile",
    "soxr", "pesq", "pystoi", "safetensors", "matplotlib", "tensorboard", "wandb", "onnxruntime",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model", metavar="NAME", help="print the card of a shipped model, or of a .json file"
    )
    add_shared(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """Print the facts."""
    if args.model:
        return _card(args.model, args.json)
    facts = gather()
    if args.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return 0
    print(f"diffgmm {facts['diffgmm']}, Python {facts['python']}, {facts['platform']}")
    print("packages  " + ", ".join(f"{name} {version or '-'}" for name, version in facts["packages"].items()))
    if facts["torchaudio_problem"]:
        print(f"          torchaudio does not load: {facts['torchaudio_problem']}")
    for device in facts["devices"]:
        print(f"device    {device['name']}: {device['what']}")
    for model in facts["models"]:
        name, size = model["name"], model["card"].get("parameters", "?")
        print(f"model     {name}: {model['sample_rate']} Hz, {model['megabytes']} MB")
        print(f"            {size} parameters; diffgmm info --model {name} tells more")
    print(f"home      {facts['home']}" + ("" if Path(facts["home"]).is_dir() else " (not there yet)"))
    return 0


def _card(name: str, as_json: bool) -> int:
    """The card of one model: data, licence, limits, scores."""
    from diffgmm.diffusion.pretrained import read_description
    from diffgmm.report.model_card import render

    path = model_file(name)
    if path.suffix == ".ckpt":
        raise UsageError(
            f"{path}: a checkpoint has no card; `diffgmm export --format safetensors` writes one"
        )
    description = read_description(path.with_suffix(".json"))
    if as_json:
        print(json.dumps(description, indent=2, ensure_ascii=False))
    else:
        print(render(path.stem, description), end="")
    return 0


def gather() -> dict[str, Any]:
    """All facts as plain data."""
    from data_modules import home

    system = {"python": platform.python_version(), "platform": platform.platform(), "home": str(home())}
    usable = {"packages": installed(PACKAGES), "torchaudio_problem": _torchaudio_problem()}
    return {"diffgmm": __version__, **system, **usable, "devices": _devices(), "models": _models()}


def _torchaudio_problem() -> str | None:
    """Why torchaudio does not load, if so; a CUDA build of it beside a CPU build of torch raises OSError."""
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"{first} (install it from the same index as torch; denoising does not need it)"
    return None


def _devices() -> list[dict[str, Any]]:
    from diffgmm.utils.cores import usable_cores

    try:
        import torch
    except ImportError:  # a light install
        return [{"name": "cpu", "what": f"{usable_cores()} cores, without PyTorch"}]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = {"cpu": f"{usable_cores()} cores, {torch.get_num_threads()} threads"}
    names |= {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(count)}
    return [{"name": name, "what": what} for name, what in names.items()]


def _models() -> list[dict[str, Any]]:
    from diffgmm.diffusion.pretrained import available_models, model_path

    models = []
    for name in available_models():
        path = model_path(name)
        description = json.loads(path.read_text(encoding="utf-8"))
        size = round(path.with_suffix(".safetensors").stat().st_size / 1e6, 2)
        about = {key: description.get(key, {}) for key in ("sample_rate", "sampler", "card")}
        models.append({"name": name, "megabytes": size, **about})
    return models
