"""Rules of W&B's sweep service, to check the YAML for it."""

from __future__ import annotations

from typing import Any

#: Keys that W&B takes at the top, and what each distribution needs (W&B's reference "Sweep configuration options").
TOP = {
    "program", "entity", "project", "description", "name", "method", "metric", "parameters", "early_terminate",
    "command", "run_cap",
}  # fmt: skip
DISTRIBUTIONS = {
    "constant": {"value"},
    "categorical": {"values"},
    "int_uniform": {"min", "max"},
    "uniform": {"min", "max"},
    "q_uniform": {"min", "max", "q"},
    "log_uniform_values": {"min", "max"},
    "q_log_uniform_values": {"min", "max", "q"},
}
_GOALS = ("minimize", "maximize")
_METHODS = ("grid", "random", "bayes")


def problems(data: dict[str, Any]) -> list[str]:
    """What W&B would not take, in words; empty if all is well."""
    faults = [f"unknown key {key}" for key in data if key not in TOP]
    if data.get("method") not in _METHODS:
        faults.append(f"method must be one of {', '.join(_METHODS)}")
    metric = data.get("metric") or {}
    if not metric.get("name") or metric.get("goal") not in _GOALS:
        faults.append("metric needs a name and a goal")
    for key, options in (data.get("parameters") or {"": {}}).items():
        kind = options.get("distribution", "categorical" if "values" in options else "constant")
        needed = DISTRIBUTIONS.get(kind)
        if needed is None:
            faults.append(f"{key}: unknown distribution {kind}")
        elif not needed <= set(options) or set(options) - needed - {"distribution"}:
            faults.append(f"{key}: {kind} takes {', '.join(sorted(needed))}")
        elif "min" in options and not options["min"] < options["max"]:
            faults.append(f"{key}: min must be below max")
        elif kind.endswith("log_uniform_values") and options["min"] <= 0:
            faults.append(f"{key}: min must be above 0")
    stop = data.get("early_terminate")
    if stop is not None and (stop.get("type") != "hyperband" or not {"min_iter", "max_iter"} & set(stop)):
        faults.append("early_terminate must be a hyperband with min_iter or max_iter")
    if "${args_json}" not in (data.get("command") or ["${args_json}"]):
        faults.append("command does not pass on the values")
    return faults
