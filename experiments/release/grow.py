"""Make a larger network out of a trained one: ``python -m experiments.release.grow base bigger --hidden 512``.

The larger network computes what the trained one did, so that training goes on instead of beginning again: what is
new starts without effect (Chen et al., "Net2Net", arXiv 1511.05641, section 2.2, with zeros instead of copies).
Grown can be the bottleneck (wider, and from ``gru`` to ``bigru``), the lowest bins can get a full
resolution, and recurrences along frequency and time can be added.
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path

import torch
from torch import Tensor

from diffgmm.diffusion.model import MixtureDenoiser, ModelError
from diffgmm.diffusion.saving import build, describe, load_model, save_model
from diffgmm.inference.denoiser import model_path
from diffgmm.networks.bottleneck import Recurrence
from diffgmm.utils.errors import UsageError, complain


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


def grow(
    model: MixtureDenoiser,
    hidden: int | None = None,
    bottleneck: str | None = None,
    fine: int = 0,
    fine_channels: int = 24,
    dual: int = 0,
    dual_level: int = 2,
) -> MixtureDenoiser:
    """A model with a larger network that computes what ``model`` does.

    Args:
        model: the trained one.
        hidden, bottleneck: width and kind of its recurrence, None as it is.
        fine, fine_channels, dual, dual_level: see :class:`diffgmm.networks.UNet`; 0 for none.

    Raises:
        ValueError: if the trained recurrence is not a ``gru`` or does not fit into the larger one, or if the lowest
            bins are refined already.
    """
    spec = copy.deepcopy(describe(model))
    network = spec["init_args"]["network"]["init_args"]
    if fine:
        if network["fine"]:
            raise ValueError("the lowest bins are refined already")
        network.update(fine=fine, fine_channels=fine_channels)
    if dual:
        if network["dual"]:
            raise ValueError("the network has recurrences along frequency already")
        network.update(dual=dual, dual_level=dual_level)
    old = model.network.bottleneck
    if hidden is None and bottleneck is None:
        larger: MixtureDenoiser = build(spec)
        larger.load_state_dict(model.state_dict(), strict=False)
        return larger
    if not isinstance(old, Recurrence) or old.gru.bidirectional:
        raise ValueError("only the recurrence of a network with the bottleneck gru can be grown")
    network.update(hidden=hidden or network["hidden"], bottleneck=bottleneck or network["bottleneck"])
    larger = build(spec)
    new = larger.network.bottleneck
    if (
        not isinstance(new, Recurrence)
        or new.gru.hidden_size < old.gru.hidden_size
        or new.gru.input_size < old.gru.input_size
    ):
        width = old.gru.hidden_size * (2 if network["bottleneck"] == "bigru" else 1)
        raise ValueError(
            f"{network['hidden']} features do not hold the trained ones: at least {width} are needed"
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
    parser.add_argument("--hidden", type=int, help="width of the larger recurrence")
    parser.add_argument("--bottleneck", choices=("gru", "bigru"), help="kind of the larger recurrence")
    parser.add_argument("--fine", type=int, default=0, help="refine so many of the lowest bins")
    parser.add_argument("--fine-channels", type=int, default=24, help="width of that refinement")
    parser.add_argument(
        "--dual", type=int, default=0, help="add so many recurrences along frequency and time"
    )
    parser.add_argument("--overwrite", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    try:
        if arguments.target.with_name(arguments.target.name + ".json").exists() and not arguments.overwrite:
            raise UsageError(f"{arguments.target}.json exists; --overwrite replaces it")
        model, description = load_model(model_path(arguments.source))
        larger = grow(
            model,
            arguments.hidden,
            arguments.bottleneck,
            arguments.fine,
            arguments.fine_channels,
            arguments.dual,
        )
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


if __name__ == "__main__":
    sys.exit(main())
