"""``diffgmm calibrate``: fit the temperature that makes a model as sure as it should be."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffgmm.cli.options import add_shared, at_least, model_file
from diffgmm.utils.errors import UsageError
from diffgmm.utils.text_table import aligned

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from diffgmm.diffusion.model import MixtureDenoiser
    from diffgmm.evaluation.calibration import Posteriors, Scores

HELP = "fit on validation pairs how sure a model is, and save it so"
DESCRIPTION = (
    f"{HELP}. One temperature multiplies every standard deviation of the model's mixtures; what `diffgmm denoise` "
    "gives by default does not change, its --uncertainty and its samples do."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = DESCRIPTION
    add = parser.add_argument
    add_shared(parser, "--model", "--trust", "--threads", "--overwrite")
    add("--data", required=True, metavar="CORPUS", help="mini, a prepared corpus, its folder or manifest")
    add("--split", choices=("valid", "test"), default="valid", help="what it is fitted on (valid)")
    add("--test", action="store_true", help="also show the scores on the test split")
    add("--pairs", type=at_least(1), default=192, metavar="N", help="pairs of four seconds per split (192)")
    add("--criterion", choices=("crps", "nll", "coverage"), default="crps", help="what is best (crps)")
    add("-o", "--output", type=Path, metavar="OUT", help="OUT.safetensors and OUT.json (NAME.calibrated)")


def run(args: argparse.Namespace) -> int:
    """Fit, print the scores before and after, save."""
    import torch

    from diffgmm.diffusion.saving import load_model, save_model
    from diffgmm.evaluation.calibration import BOUNDS, fit, score

    source = model_file(args.model)
    stem = _stem(args.output, source)
    if not args.overwrite:
        _refuse_existing(stem)
    if args.threads:
        torch.set_num_threads(args.threads)
    model, description = load_model(source, args.trust)
    start = time.perf_counter()
    splits = dict.fromkeys([args.split, *(["test"] if args.test else [])])
    by_split = {split: corpus_posteriors(model, args.data, split, args.pairs) for split in splits}
    temperature = fit(by_split[args.split], args.criterion)
    if not BOUNDS[0] * 1.02 < temperature < BOUNDS[1] / 1.02:
        advice = "this model needs training, not calibration"
        print(f"temperature {temperature:.2f} is at the bound of the search: {advice}")
    scores = {
        split: [score(posteriors, value) for value in (1.0, temperature)]
        for split, posteriors in by_split.items()
    }
    print(_table(scores))
    record = {
        "temperature": round(temperature, 4), "criterion": args.criterion, "data": Path(args.data).name,
        "fitted_on": args.split, "pairs": args.pairs,
        "scores": {split: [fitted.record() for fitted in both] for split, both in scores.items()},
    }  # fmt: skip
    if not args.overwrite:  # someone else may have written meanwhile
        _refuse_existing(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    card = {**description.get("card", {}), "calibration": record}
    save_model(stem, model, card, {**description.get("sampler", {}), "temperature": round(temperature, 4)})
    print(f"temperature {temperature:.3f} in {time.perf_counter() - start:.0f} s -> {stem}.json")
    return 0


def _stem(output: Path | None, source: Path) -> Path:
    """Path without suffix of the model to write."""
    if output is None:
        from diffgmm.diffusion.pretrained import PRETRAINED

        return (Path() if source.parent == PRETRAINED else source.parent) / f"{source.stem}.calibrated"
    return output.with_suffix("") if output.suffix in (".json", ".safetensors") else output


def _refuse_existing(stem: Path) -> None:
    for path in (stem.with_name(f"{stem.name}{suffix}") for suffix in (".json", ".safetensors")):
        if path.exists():
            raise UsageError(f"{path} exists already; --overwrite replaces it, -o names another")


def corpus_posteriors(model: MixtureDenoiser, corpus: str, split: str, pairs: int) -> Posteriors:
    """The model's posteriors for the first pairs of a corpus's split, "valid" or "test"."""
    from diffgmm.evaluation.calibration import collect

    return collect(model, corpus_batches(corpus, split, model.sample_rate, pairs))


def corpus_batches(corpus: str, split: str, rate: int, pairs: int) -> DataLoader[Any]:
    """Batches of the first pairs of a corpus's split, "valid" or "test", at ``rate`` Hz."""
    from data_modules.noisy_speech import NoisySpeech

    data: Any = NoisySpeech(corpus, sample_rate=rate, valid_pairs=pairs, test_pairs=pairs)
    data.setup("validate" if split == "valid" else "test")
    loader: DataLoader[Any] = data.val_dataloader() if split == "valid" else data.test_dataloader()
    return loader


def _table(scores: dict[str, list[Scores]]) -> str:
    rows = [["split", "temperature", "coverage 50", "90", "99 %", "crps", "nll"]]
    for split, both in scores.items():
        for fitted in both:
            shares = [f"{100 * fitted.coverage[level]:.1f}" for level in ("50", "90", "99")]
            rows.append(
                [split, f"{fitted.temperature:.3f}", *shares, f"{fitted.crps:.5f}", f"{fitted.nll:.4f}"]
            )
    return "\n".join(aligned(rows, left={0}))
