"""Weights that stay where they came from: a model is saved with their name and hash instead."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import cached_file

from . import safe_json
from .errors import CheckpointError, ConfigurationError
from .safe_json import one_line
from .safe_tensors import is_finite


class Referring(nn.Module):
    """A module some of whose tensors are left out of its state dict, as they are found elsewhere.

    A subclass says which in :meth:`is_referred`. Saving a model leaves these out; strict loading
    does not miss them, and keeps them as they are.
    """

    def is_referred(self, name: str) -> bool:
        """Return whether the tensor ``name``, as this module calls it, is left out."""
        return False

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the tensors that are saved."""
        prefix = str(kwargs.get("prefix", ""))
        state: dict[str, Any] = super().state_dict(*args, **kwargs)
        own = [n for n in state if n.startswith(prefix) and self.is_referred(n[len(prefix) :])]
        for name in own:
            del state[name]
        return state

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        here = nn.Module.state_dict(self)
        state_dict.update({prefix + n: t for n, t in here.items() if self.is_referred(n)})
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def freeze(network: nn.Module) -> None:
    """Let nothing of ``network`` train, and no dropout act."""
    network.requires_grad_(False)
    network.eval()


def weights_digest(network: nn.Module, *texts: str) -> str:
    """Return the sha256, hexadecimal, of the weights of ``network`` and of further ``texts``.

    It depends on names, types, shapes and bits, not on the files that the weights came from.
    """
    total = hashlib.sha256()
    for name, tensor in sorted(nn.Module.state_dict(network).items()):
        tensor = tensor.detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy().data)
    for text in texts:
        total.update(text.encode())
    return total.hexdigest()


def check_digest(what: str, wanted: str, found: str) -> None:
    """Refuse weights that are not the ones that a model was trained with.

    Args:
        what: the name or folder that they were loaded from.
        wanted: the digest in the model's configuration; empty when it was never saved.
        found: the digest of what was loaded.

    Raises:
        CheckpointError: if they differ.
    """
    if wanted and wanted != found:
        raise CheckpointError(
            f"the weights of {what!r} are not those that this model was trained with: their "
            f"sha256 is {found[:16]}..., not {wanted[:16]}.... Bring back the weights of that "
            "time, or train anew."
        )


def load_network(kind: type[Any], path: str, **options: Any) -> Any:
    """Return a transformers model by name or folder, frozen, and complete.

    Args:
        kind: the transformers class, such as ``CLIPVisionModelWithProjection``.
        path: name on the hub, or folder.
        **options: passed to ``from_pretrained``.

    Raises:
        ConfigurationError: if nothing can be loaded, or a weight is missing from the files.
    """
    try:
        with quiet():
            network, report = kind.from_pretrained(
                path,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                **options,
            )
    except Exception as error:  # what foreign files lead to can be anything
        raise ConfigurationError(
            f"no {kind.__name__} can be loaded from {path!r}: {one_line(error)}. "
            "Give the name of a model on the hub, or a folder with config.json and safetensors."
        ) from error
    missing = sorted(report["missing_keys"]) + sorted(map(str, report["mismatched_keys"]))
    if missing:
        raise ConfigurationError(
            f"{path!r} lacks {len(missing)} weights of {kind.__name__}, such as {missing[0]!r}; "
            "it is a model of another kind."
        )
    for name, parameter in network.named_parameters():
        if not is_finite(parameter.detach()):
            raise ConfigurationError(
                f"{path!r} holds NaN or infinity in {name!r}; download or train it again."
            )
    freeze(network)
    return network


def read_json(path: str, *names: str) -> dict[str, Any]:
    """Return the first of the JSON files ``names`` that the model at ``path`` has.

    Raises:
        ConfigurationError: if it has none of them.
    """
    for name in names:
        file = find_file(path, name)
        if file is not None:
            return safe_json.read_json(file, error=ConfigurationError)
    raise ConfigurationError(f"{path!r} has none of the files {list(names)}.")


def find_file(path: str, name: str) -> str | None:
    """Return where the file ``name`` of the model at ``path`` lies, None if it has none."""
    missing_is_none = {
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
        "_raise_exceptions_for_gated_repo": False,
    }
    try:
        found = cached_file(path, name, **missing_is_none)
    except OSError as error:
        raise ConfigurationError(f"{path!r} is no folder and not on the hub: {error}") from error
    return None if found is None else str(found)


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back the bars and tables that the libraries print for every load."""
    from transformers.utils import logging as transformers_logging

    names = ("transformers", "diffusers", "huggingface_hub")
    levels = {name: logging.getLogger(name).level for name in names}
    bars = transformers_logging.is_progress_bar_enabled()
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of all tensors of ``network``, those left out of its state dict too."""
    return {name: t.detach().clone() for name, t in nn.Module.state_dict(network).items()}
