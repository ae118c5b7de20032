"""Info: what is installed here, which worlds there are, what computes."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

DISTRIBUTIONS = (
    *("worldgpt-env", "torch", "transformers", "gymnasium", "stable-baselines3", "minari", "numpy"),
    *("minigrid", "vizdoom", "ale-py"),
)


def info() -> dict[str, Any]:
    """Return ``versions``, ``device``, ``real_worlds`` and ``embedded_worlds`` with sizes."""
    import torch

    from worldgpt_env.model.checkpoint import embedded_folder, embedded_worlds
    from worldgpt_env.worlds import world_names

    if torch.cuda.is_available():
        device = f"cuda ({torch.cuda.get_device_name()})"
    else:
        device = f"cpu ({torch.get_num_threads()} threads)"
    sizes = {
        name: sum(f.stat().st_size for f in (embedded_folder() / name).rglob("*") if f.is_file())
        for name in embedded_worlds()
    }
    return {
        "versions": {
            "python": platform.python_version(),
            **{n: _version(n) for n in DISTRIBUTIONS},
        },
        "device": device,
        "real_worlds": ", ".join(world_names()),
        "embedded_worlds": {name: f"{size / 1e6:.1f} MB" for name, size in sizes.items()},
    }


def _version(name: str) -> str:
    """Return the version of a distribution, or that it is missing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
