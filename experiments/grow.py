"""Make a larger network out of a trained one: ``python -m experiments.grow base bigger --hidden 512``.

The larger network computes what the trained one did, so that training goes on instead of beginning again: what is
new starts without effect (Chen et al., "Net2Net", arXiv 1511.05641, section 2.2, with zeros instead of copies).
Grown can be the bottleneck: wider, and from ``gru`` to ``bigru``.
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path

import torch
from torch import Tensor

from diffgmm.cli.errors import UsageError, complain
from diffgmm.inference import model_path
from diffgmm.model import MixtureDenoiser, ModelError, build, describe, load_model, save_model
from diffgmm.networks.bottleneck import Recurrence


def _gates(new: Tensor, old: Tensor, columns: int) -> None:
    """Copy the three gates of a GRU's matrix ``[3 H, I]`` into the corner of each gate of a larger one."""
    large, small = new.unflatten(0, (3, -1)), old.unflatten(0, (3, -1))
    large[:, : small.shape[1], columns:] = 0.0  # what is new does not reach the trained units
    large[:, : small.shape[1], : small.shape[2]] = small


@torch.no_grad()
def _grow_recurrence(new: Recurrence, old: Recurrence) -> None:
    inputs, units = old.gru.input_size, old.gru.hidden_size
    new.into.weight[:inputs], new.into.bias[:inputs] = old.into.weight, old.into.bias
    for name, columns in (("weight_ih_l0", inputs), ("weight_hh_l0", units)):
        _gates(getattr(new.gru, name), getattr(old.gru, name), columns)
    for name in ("bias_ih_l0", "bias_hh_l0"):
        large = getattr(new.gru, name).unflatten(0, (3, -1))
        large[:, :units] = getattr(old.gru, name).unflatten(0, (3, -1))
    new.out.weight.zero_()
    new.out.weight[:, :units] = old.out.weight
    new.out.bias.copy_(old.out.bias)


def grow(model: MixtureDenoiser, hidden: int, bottleneck: str) -> MixtureDenoiser:
    """A model whose recurrence has ``hidden`` features and of the kind ``bottleneck``; computes what ``model`` does.

    Raises:
        ValueError: if the trained recurrence is not a ``gru`` or does not fit into the larger one.
    """
    old = model.network.bottleneck
    if not isinstance(old, Recurrence) or old.gru.bidirectional:
        raise ValueError("only a network with the bottleneck gru can be grown")
    spec = copy.deepcopy(describe(model))
    spec["init_args"]["network"]["init_args"].update(hidden=hidden, bottleneck=bottleneck)
    larger: MixtureDenoiser = build(spec)
    new = larger.network.bottleneck
    if (
        not isinstance(new, Recurrence)
        or new.gru.hidden_size < old.gru.hidden_size
        or hidden < old.gru.input_size
    ):
        width = old.gru.hidden_size * (2 if bottleneck == "bigru" else 1)
        raise ValueError(
            f"{bottleneck} of {hidden} does not hold the trained one: at least {width} are needed"
        )
    kept = {name: value for name, value in model.state_dict().items() if "network.bottleneck." not in name}
    larger.load_state_dict(kept, strict=False)
    _grow_recurrence(new, old)
    return larger


def main() -> int:
    """Command line; 0 done, 1 not a model or not one that fits, 2 wrong usage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("source", help="name of a shipped model, .safetensors, .json or .ckpt")
    parser.add_argument("target", type=Path, help="written as TARGET.safetensors and TARGET.json")
    parser.add_argument("--hidden", type=int, required=True, help="width of the larger recurrence")
    parser.add_argument("--bottleneck", choices=("gru", "bigru"), default="bigru")
    parser.add_argument("--overwrite", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    try:
        if arguments.target.with_name(arguments.target.name + ".json").exists() and not arguments.overwrite:
            raise UsageError(f"{arguments.target}.json exists; --overwrite replaces it")
        model, description = load_model(model_path(arguments.source))
        larger = grow(model, arguments.hidden, arguments.bottleneck)
        card = {**description.get("card", {}), "grown_from": str(arguments.source)}
        save_model(arguments.target, larger, card, description["sampler"])
    except UsageError as error:
        complain(error)
        return 2
    except (ModelError, ValueError) as error:
        complain(error)
        return 1
    print(f"{arguments.target}.json: {sum(p.numel() for p in larger.parameters()):,} parameters")
    return 0


__all__ = ["grow"]

if __name__ == "__main__":
    sys.exit(main())
