"""The same sweep as a YAML for W&B's sweep service: `wandb sweep FILE`, then `wandb agent ID` on any machine.

W&B knows no parameters that exist only beside others, and no names for choices: its agent therefore starts
`diffgmm sweep --values JSON`, which leaves out and translates them as a worker of ours does, and runs ``fit``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from diffgmm.utils.files import replacing
from diffgmm.workflows.sweep.space import Parameter, Space, layers


def configuration(
    space: Space, configs: Sequence[Path], space_file: Path, name: str, changes: Sequence[str] = ()
) -> dict[str, Any]:
    """The sweep as W&B's plain data.

    Args:
        space: what varies.
        configs: YAMLs of the experiment, as the agent will find them from its working folder.
        space_file: of the space, likewise.
        name: of the sweep.
        changes: ``KEY=VALUE`` for every run, as given to the verb.
    """
    own = [word for change in changes for word in ("--set", change)]
    sweep: dict[str, Any] = {
        "program": "diffgmm",
        "name": name,
        "project": "diffgmm",
        "method": "random" if space.sampler.get("name") == "random" else "bayes",
        "metric": {"name": space.monitor, "goal": space.direction},
        "run_cap": space.trials,
        "command": [
            "${env}", "diffgmm", "sweep", *layers(configs), "--space", str(space_file), *own,
            "--values", "${args_json}",
        ],
        "parameters": {parameter.key: _parameter(parameter) for parameter in space.parameters},
    }  # fmt: skip
    pruner = space.pruner.get("name", "none")
    if pruner in ("hyperband", "asha"):
        least = space.pruner.get("min_resource", 1)
        eta = space.pruner.get("reduction_factor", 3)
        minimum = least if isinstance(least, int) else 1
        sweep["early_terminate"] = {"type": "hyperband", "min_iter": minimum, "eta": eta}
    return sweep


def _parameter(parameter: Parameter) -> dict[str, Any]:
    if parameter.type == "categorical":
        return {"values": list(parameter.choices)}
    ends = {"min": parameter.low, "max": parameter.high}
    if parameter.type == "int":
        if parameter.log:
            return {"distribution": "q_log_uniform_values", "q": 1, **ends}
        if parameter.step not in (None, 1):
            return {
                "values": list(range(int(parameter.low), int(parameter.high) + 1, int(parameter.step or 1)))
            }
        return {"distribution": "int_uniform", **ends}
    if parameter.log:
        return {"distribution": "log_uniform_values", **ends}
    if parameter.step is not None:
        return {"distribution": "q_uniform", "q": parameter.step, **ends}
    return {"distribution": "uniform", **ends}


def write(path: Path, data: dict[str, Any]) -> None:
    """Write the YAML atomically."""
    head = f"# For W&B, made by `diffgmm sweep`:\n#   wandb sweep {path.name}\n#   wandb agent ENTITY/PROJECT/ID\n"
    with replacing(path) as part:
        part.write_text(head + yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
