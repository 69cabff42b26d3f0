"""A model's card for people: what it is, what it was trained on, how good it is, what it is not made for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def render(name: str, description: Mapping[str, Any]) -> str:
    """Markdown of the card in a model's description."""
    card: Mapping[str, Any] = description.get("card") or {}
    sampler = ", ".join(f"{key} {value}" for key, value in (description.get("sampler") or {}).items())
    counts = {key: f"{x:,}" for key in ("parameters", "steps") if isinstance(x := card.get(key), int)}
    facts = {
        "sample rate": f"{description.get('sample_rate')} Hz", "parameters": counts.get("parameters"),
        "default": sampler, "training steps": counts.get("steps"), "made with diffgmm": card.get("version"),
        "licence": card.get("licence"),
    }  # fmt: skip
    lines = [f"# {name}", "", *(f"- {label}: {fact}" for label, fact in facts.items() if fact)]
    if notes := card.get("notes"):
        lines += ["", str(notes)]
    lines += _scores(card.get("scores"))
    if limits := card.get("limits"):
        lines += ["", "## Limits", "", *(f"- {limit}" for limit in limits)]
    lines += _data(card.get("trained_on"))
    return "\n".join(lines) + "\n"


def _scores(scores: Mapping[str, Any] | None) -> list[str]:
    if not scores:
        return []
    lines = ["", "## Scores", "", f"Means over {scores['pairs']} pairs of {scores['set']}:", ""]
    lines += ["| | noisy | denoised |", "|---|---|---|"]
    for metric, row in scores["means"].items():
        noisy = row.get("noisy")
        lines.append(f"| `{metric}` | {'' if noisy is None else f'{noisy:.3f}'} | {row['denoised']:.3f} |")
    return lines


def _data(trained_on: Mapping[str, Any] | None) -> list[str]:
    if not trained_on:
        return []
    variant = f" --variant {trained_on['variant']}" if trained_on.get("variant") else ""
    lines = ["", "## Trained on", "", f"`diffgmm prepare {trained_on.get('corpus')}{variant}`"]
    if manifest := trained_on.get("manifest_sha256"):
        lines.append(f"(SHA-256 of its manifest: {manifest}), made of")
    sources = trained_on.get("packages") or trained_on.get("sources") or {}
    lines += ["", *(f"- {source}" for source in sources)]
    for corpus in trained_on.get("further") or ():
        told = f"`diffgmm prepare {corpus['corpus']}` (SHA-256 of its manifest: {corpus['manifest_sha256']})"
        lines += ["", f"and {told}"]
    return lines
