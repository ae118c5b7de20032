"""Devices: where a model computes, checked before anything is moved there."""

from __future__ import annotations

import torch

from .arguments import shown
from .errors import ConfigurationError


def check_device(device: object) -> torch.device:
    """Return ``device`` as torch knows it, after a number went there and came back.

    Args:
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, … or a ``torch.device``.

    Raises:
        ConfigurationError: there is no such device on this machine, or torch cannot use it.
    """
    if not isinstance(device, str | torch.device):
        raise ConfigurationError(f"device is {shown(device)}; use {_usable()}.")
    try:
        found = torch.device(device)
        if found.type == "cpu" and found.index:  # torch takes any number for the one CPU
            raise ValueError(device)
        back = torch.ones(1, device=found).cpu()  # "meta" holds no numbers, and "cuda" may be away
    except Exception as error:  # torch raises AssertionError, RuntimeError, NotImplementedError …
        raise ConfigurationError(
            f"device is {shown(str(device))}, which this machine does not have; use {_usable()}."
        ) from error
    assert float(back) == 1.0
    return found


def _usable() -> str:
    """Return the devices of this machine, to be typed."""
    names = ["'cpu'"]
    if torch.cuda.is_available():
        names += [f"'cuda:{number}'" for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("'mps'")
    return " or ".join(names)
