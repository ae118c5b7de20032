"""The card of a trained world: what it is, what it was made from, and how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldgpt_env.model.worldgpt import WorldGPT

if TYPE_CHECKING:
    from .train import TrainConfig


def write_card(path: Path, config: TrainConfig, model: WorldGPT, summary: dict[str, Any]) -> None:
    """Write the Markdown card of ``model`` to ``path``."""
    settings = model.config
    modalities = "\n".join(
        f"| `{m}` | {spec.shape} {spec.dtype} |" for m, spec in model.specs.items()
    )
    codecs = "\n".join(
        f"| `{modality}` | {name} | {value:.4g} |"
        for modality, figures in summary["codecs"].items()
        for name, value in figures.items()
    )
    held_out = "\n".join(f"| {name} | {value:.4g} |" for name, value in summary["held_out"].items())
    actions = ", ".join(model.action_spec.names) or f"{model.action_spec}"
    path.write_text(
        f"""# A dream of `{settings.world}`

A WorldGPT world model, to be opened with
`gym.make("WorldGPT-v0", model="{config.out.name}")` after `import worldgpt_env`.

| modality | shape |
|---|---|
{modalities}

Actions: {actions}. Horizon {settings.horizon} steps, context {settings.context} steps,
{summary["parameters"]:,} parameters.

## How it was made

Recorded: {summary["recorded_steps"]:,} steps of the real world `{settings.world}`. Trained by
`worldgpt train --preset {config.preset} --seed {config.seed}` with a batch of {config.rows} windows
of {config.length} steps, in {summary["cpu_seconds"]:,} CPU-seconds.

## Codecs on held-out observations

| modality | figure | value |
|---|---|---|
{codecs}

## Next step on held-out episodes

| figure | value |
|---|---|
{held_out}
""",
        encoding="utf-8",
    )
