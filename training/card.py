"""The card of a trained world: what it is, what it was made from, and how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worldgpt_env.model.worldgpt import WorldGPT

from .options import command_line
from .train_config import TrainConfig


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
    command = " \\\n    ".join(["worldgpt train", *command_line(config, bare=("data", "out"))])
    held_out = "\n".join(f"| {name} | {value:.4g} |" for name, value in summary["held_out"].items())
    actions = ", ".join(model.action_spec.names) or f"{model.action_spec}"
    path.write_text(
        f"""# A dream of `{settings.world}`

A WorldGPT world model, to be opened with
`gym.make("WorldGPT-v0", model="{config.out.name}")` after `import worldgpt_env`.

| modality | shape |
|---|---|
{modalities}

Actions: {actions}. Agents observe {", ".join(map(str, model.agent_modalities))} unless asked
otherwise. Horizon {settings.horizon} steps, context {settings.context} steps,
{summary["parameters"]:,} parameters.

## How it was made

Recorded: {summary["recorded_steps"]:,} steps of the real world `{settings.world}`. Learned in
{summary["cpu_seconds"]:,} CPU-seconds by

```bash
{command}
```

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
