"""What an agent needs to go on in the next round, as tensors and JSON: weights and optimisers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from worldgpt_env.model.checkpoint import CURE, refused
from worldgpt_env.model.safe_io import write_tensors
from worldgpt_env.model.safe_json import parse_json
from worldgpt_env.model.safe_tensors import read_tensors_and_texts

Policy = dict[str, Tensor]
"""The tensors of a policy by name."""


def policy_tensors(algorithm: BaseAlgorithm) -> Policy:
    """Return copies of all tensors of the policy of ``algorithm``."""
    return {name: tensor.clone() for name, tensor in algorithm.policy.state_dict().items()}


@contextmanager
def acting_as(algorithm: BaseAlgorithm, policy: Policy) -> Iterator[None]:
    """Let ``algorithm`` act as ``policy`` in the block, and as itself again after it."""
    own = policy_tensors(algorithm)
    algorithm.policy.load_state_dict(policy)
    try:
        yield
    finally:
        algorithm.policy.load_state_dict(own)


def save_agent(algorithm: BaseAlgorithm, path: Path) -> None:
    """Write weights and optimisers of ``algorithm`` to a safetensors file."""
    tensors: dict[str, Tensor] = {}
    plain = _split(algorithm.get_parameters(), "", tensors)
    entropy = getattr(algorithm, "log_ent_coef", None)
    if entropy is not None:
        tensors["log_ent_coef"] = entropy.detach()
    own = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    write_tensors(path, own, {"plain": json.dumps(plain)})


def load_agent(algorithm: BaseAlgorithm, path: Path) -> None:
    """Bring ``algorithm``, built with the same settings, to where :func:`save_agent` found it.

    Raises:
        CheckpointError: the file is missing, damaged, or of another agent.
    """
    tensors, texts = read_tensors_and_texts(path, CURE)
    with refused(path):
        entropy = tensors.pop("log_ent_coef", None)
        algorithm.set_parameters(_join(parse_json(texts["plain"].encode()), tensors))
        if entropy is not None:
            with torch.no_grad():
                algorithm.log_ent_coef.copy_(entropy)  # type: ignore[attr-defined]


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Return ``value`` with tensors put aside into ``tensors``; keys become text."""
    if isinstance(value, Tensor):
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, dict):
        keys = {str(key): isinstance(key, int) for key in value}
        parts = {str(key): _split(part, f"{path}/{key}", tensors) for key, part in value.items()}
        return {"dict": parts, "whole": [key for key, is_number in keys.items() if is_number]}
    if isinstance(value, list | tuple):
        items = [_split(part, f"{path}/{n}", tensors) for n, part in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    return {"value": value}


def _join(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return what :func:`_split` took apart."""
    kind = next(iter(value))
    if kind == "tensor":
        return tensors[value["tensor"]]
    if kind == "dict":
        whole = set(value["whole"])
        return {
            (int(key) if key in whole else key): _join(part, tensors)
            for key, part in value["dict"].items()
        }
    if kind in ("list", "tuple"):
        parts = [_join(part, tensors) for part in value[kind]]
        return tuple(parts) if kind == "tuple" else parts
    return value["value"]
