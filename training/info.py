"""Info: what is installed here, which worlds there are, what computes, and what it promises."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass
from typing import Any

DISTRIBUTIONS = (
    *("worldgpt-env", "torch", "transformers", "gymnasium", "stable-baselines3", "minari", "numpy"),
    *("minigrid", "vizdoom", "ale-py"),
)


@dataclass(frozen=True)
class InfoConfig:
    """What ``worldgpt info`` measures.

    Attributes:
        model: whose rows are measured, an embedded world or a folder; every embedded world's by
            default.
        device: where they are measured.
    """

    model: str | None = None
    device: str = "cpu"


def info(config: InfoConfig) -> dict[str, Any]:
    """Describe this installation and machine.

    Returns:
        ``versions``, ``device``, ``real_worlds``, ``embedded_worlds`` with sizes, and
        ``same_dream_at_any_batch_size``: per model, and number of threads (1, as in the commands,
        and as many as torch takes by itself), what :func:`worldgpt_env.model.batch_invariance`
        says of it.
    """
    import torch

    from worldgpt_env.model.checkpoint import embedded_folder, embedded_worlds
    from worldgpt_env.worlds import world_names

    if torch.cuda.is_available():
        computes = f"cuda ({torch.cuda.get_device_name()})"
    else:
        computes = f"cpu ({torch.get_num_threads()} threads)"
    sizes = {
        name: sum(f.stat().st_size for f in (embedded_folder() / name).rglob("*") if f.is_file())
        for name in embedded_worlds()
    }
    return {
        "versions": {
            "python": platform.python_version(),
            **{n: _version(n) for n in DISTRIBUTIONS},
        },
        "device": computes,
        "real_worlds": ", ".join(world_names()),
        "embedded_worlds": {name: f"{size / 1e6:.1f} MB" for name, size in sizes.items()},
        "same_dream_at_any_batch_size": {
            name: _invariance(name, config.device)
            for name in (sizes if config.model is None else [config.model])
        },
    }


def _invariance(model: str, device: str) -> dict[str, str]:
    """Return what a model promises of its rows on ``device``, and what was measured."""
    import torch

    from worldgpt_env.model import WorldGPT, batch_invariance

    loaded, threads = WorldGPT.from_pretrained(model, device), torch.get_num_threads()
    told = {}
    try:
        for count in sorted({1, threads}):
            torch.set_num_threads(count)
            told[f"{count} thread{'s' * (count > 1)}"] = str(batch_invariance(loaded))
    finally:
        torch.set_num_threads(threads)
    return told


def _version(name: str) -> str:
    """Return the version of a distribution, or that it is missing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
