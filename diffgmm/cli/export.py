"""``diffgmm export``: a model for other runtimes, checked against PyTorch on real sound."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from diffgmm.cli.options import add_shared, at_least, model_file
from diffgmm.utils.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

HELP = "write a model as ONNX, TorchScript, torch.export program or safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    formats = ("onnx", "torchscript", "torch_export", "safetensors")
    lengths = "onnx and torchscript take any length, torch_export a fixed one; safetensors is this project's own format"
    add("--format", required=True, choices=formats, help=lengths)
    add("-o", "--output", type=Path, metavar="OUT", help="file to write (the model's name with the ending)")
    add = parser.add_mutually_exclusive_group().add_argument
    add("--samples", type=at_least(1000), metavar="N", help="fixed length of the input in samples")
    streaming = (
        "fixed length of the windows that live sound is cut into; what they are is in the file's metadata"
    )
    add("--streaming", action="store_true", help=streaming)
    add_shared(parser, "--model", "--trust", "--overwrite")


def run(args: argparse.Namespace) -> int:
    """Export; prints the files and how far they are from PyTorch."""
    from diffgmm.diffusion.saving import load_model
    from diffgmm.inference.export import FORMATS, export

    source = model_file(args.model)
    if args.format == "safetensors" and (args.samples or args.streaming):
        raise UsageError("--samples and --streaming belong to graphs; safetensors has weights of any length")
    ending = FORMATS[args.format]
    output = args.output or Path(source.stem).with_suffix(ending)
    if output.suffix != ending:
        raise UsageError(f"{output}: a file of format {args.format} ends in {ending}")
    model, description = load_model(source, args.trust)
    facts = {"name": source.stem, "licence": str((description.get("card") or {}).get("licence", "unknown"))}
    samples = args.samples
    if args.streaming:
        from diffgmm.inference.streaming import window_sizes

        sizes = window_sizes(model.sample_rate, int(getattr(model.representation, "hop", 1)))
        facts["streaming"] = json.dumps(sizes)
        samples = sizes["context"] + sizes["step"] + sizes["ahead"]
    sound = _noisy_speech(model.sample_rate)
    done = export(
        model, description, output, args.format, sound, samples=samples, facts=facts, overwrite=args.overwrite,
        trust=args.trust,
    )  # fmt: skip
    difference = done.deviation
    for file in done.files:
        print(f"{file}: {file.stat().st_size / 1e6:.2f} MB")
    print(
        f"differs from PyTorch by at most {difference.max_abs:.1e} of full scale "
        f"({difference.snr_db:.0f} dB below the output) over {difference.seconds:.0f} s of noisy speech"
    )
    return 0


def _noisy_speech(rate: int) -> np.ndarray:
    """About six seconds of the embedded corpus: speech in noise at 5 dB, float32 ``[samples]``."""
    import numpy as np

    import data_modules
    from diffgmm.audio import read

    mini = Path(data_modules.__file__).parent / "mini"
    sounds = [
        np.concatenate([read(file, rate, mono=True)[0][0] for file in sorted(mini.glob(pattern))[:3]])
        for pattern in ("valid/speech/*/*.flac", "valid/noise/*/*.flac")
    ]
    speech, noise = sounds[0][: 6 * rate], np.resize(sounds[1], min(len(sounds[0]), 6 * rate))
    gain = np.sqrt(np.square(speech).mean() / max(float(np.square(noise).mean()), 1e-12) / 10**0.5)
    return (speech + gain * noise).astype(np.float32)
