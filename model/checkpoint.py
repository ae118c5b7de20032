"""Models on disk: a folder of safetensors and JSON, verified when read, replaced as a whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .errors import CheckpointError

CONFIG, WEIGHTS, MANIFEST = "config.json", "model.safetensors", "manifest.json"


def embedded_folder() -> Path:
    """Return the folder of the worlds that come with the package."""
    return Path(str(resources.files("worldgpt_env"))) / "checkpoints"


def embedded_worlds() -> list[str]:
    """Return the names of the worlds that come with the package."""
    return sorted(f.parent.name for f in embedded_folder().glob(f"*/{MANIFEST}"))


def resolve(name_or_path: str | Path) -> Path:
    """Return the folder of a model given by embedded name or by path.

    Raises:
        CheckpointError: if there is none.
    """
    for folder in (Path(name_or_path), embedded_folder() / str(name_or_path)):
        if (folder / MANIFEST).is_file():
            return folder
    raise CheckpointError(
        f"there is no world model {str(name_or_path)!r}: no such folder with a {MANIFEST}, and the "
        f"embedded worlds are {embedded_worlds()}. Train one: worldgpt train --data DIR --out MODEL"
    )


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Fill a new folder with ``write``, seal it, and put it in the place of ``folder`` at once.

    Whatever stops the writing (a full disk, Ctrl-C), the old folder stays as it was.
    """
    draft = folder.parent / f".{folder.name}-{uuid.uuid4().hex[:8]}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
        write(draft)
        seal(draft)
        replace_folder(draft, folder)
    except OSError as error:
        raise CheckpointError(
            f"{folder} could not be written ({error}); it is unchanged."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def seal(folder: Path) -> None:
    """Write the manifest: the size and sha256 of every other file of ``folder``."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    entries = {
        str(p.relative_to(folder)): {"size": p.stat().st_size, "sha256": digest(p)} for p in files
    }
    (folder / MANIFEST).write_text(json.dumps({"format": 1, "files": entries}, indent=1) + "\n")


def replace_folder(draft: Path, folder: Path) -> None:
    """Put ``draft`` in the place of ``folder``; on an error the old one is put back."""
    if not folder.exists():
        os.replace(draft, folder)
        return
    aside = folder.parent / f".{folder.name}-{uuid.uuid4().hex[:8]}-old"
    os.replace(folder, aside)
    try:
        os.replace(draft, folder)
    except OSError:
        os.replace(aside, folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def verify(folder: Path) -> None:
    """Compare every file of ``folder`` with its manifest.

    Raises:
        CheckpointError: naming the file that is missing, truncated or changed.
    """
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        entries = {name: (entry["size"], entry["sha256"]) for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / MANIFEST} cannot be read ({error!r}).") from error
    for name, (size, sha256) in entries.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise CheckpointError(f"{folder / MANIFEST} names {name!r}, outside its folder.")
        if not path.is_file():
            raise CheckpointError(f"{path} is missing. Copy the whole folder again, or train anew.")
        if path.stat().st_size != size or digest(path) != sha256:
            raise CheckpointError(
                f"{path} is not as it was written (truncated or changed). "
                "Copy the whole folder again, or train anew."
            )


def digest(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(folder: Path, write: Callable[[Path], None], source: str) -> None:
    """Put what ``write`` writes in the place of ``folder``, with the other files of the model.

    Args:
        folder: of the model; files that it holds already and ``write`` does not write are kept.
        write: writes config.json and model.safetensors into a folder.
        source: name or folder that the model was loaded from, "" if it was not; its start states
            and its card are copied where ``folder`` has none.
    """

    def fill(draft: Path) -> None:
        if source and (origin := resolve(source)) != folder:
            for name in ("start_states.safetensors", "README.md"):
                if (origin / name).is_file():
                    shutil.copy2(origin / name, draft / name)
        for old in folder.iterdir() if folder.is_dir() else ():
            if old.name not in (CONFIG, WEIGHTS, MANIFEST):
                (shutil.copytree if old.is_dir() else shutil.copy2)(old, draft / old.name)
        write(draft)

    write_folder(folder, fill)


def write_checkpoint(
    folder: Path, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write config.json and model.safetensors into an existing ``folder``."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, folder / WEIGHTS, metadata={"format": "pt"})
    kept = {name: value for name, value in fields.items() if name != "_name_or_path"}
    (folder / CONFIG).write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")


@contextmanager
def open_checkpoint(
    name_or_path: str | Path,
) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
    """Give the fields of the configuration and the tensors of a verified model.

    Raises:
        CheckpointError: if nothing is there, a file is truncated or changed, or the model cannot be
            built from them within the ``with`` block.
    """
    folder = resolve(name_or_path)
    verify(folder)
    try:
        yield json.loads((folder / CONFIG).read_text()), _renamed(load_file(folder / WEIGHTS))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{folder} holds no world model of this version: {error}") from error


_PARTS = {
    "codecs": "processor.codecs",
    "cell_embeddings": "dynamics.embedding.cell_embeddings",
    "token_projections": "dynamics.embedding.token_projections",
    "action_slot": "dynamics.embedding.action_slot",
    "action_embedding": "dynamics.embedding.action_embedding",
    "signal_tokens": "dynamics.embedding.signal_tokens",
    "reflector": "dynamics.embedding.reflector",
    "state_heads": "dynamics.state.state_heads",
    "signal_reader": "dynamics.state.signal_reader",
    "reward_head": "dynamics.outcome.reward_head",
    "termination_head": "dynamics.outcome.termination_head",
    "consequence": "dynamics.outcome.next_state_features",
    "backbone": "dynamics.backbone",
    "ensemble": "dynamics.ensemble",
    "consistency": "dynamics.consistency",
}
"""Where the parts of models of version 0 lie today."""


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return ``tensors`` under the names of today; models of version 0 had no two halves."""
    renamed = {}
    for name, tensor in tensors.items():
        part, dot, rest = name.partition(".")
        renamed[_PARTS.get(part, part) + dot + rest] = tensor
    return renamed


def weights_sha256(model: nn.Module) -> str:
    """Return the hash of all parameters and buffers of ``model``: same bits, same hash.

    Tensors are named as in models of version 0, so that the hashes in older policies still hold.
    """
    digest = hashlib.sha256()
    named = {_original_name(name): tensor for name, tensor in model.state_dict().items()}
    for name, tensor in sorted(named.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _original_name(name: str) -> str:
    """Return the name that a tensor had in models of version 0."""
    for old, new in _PARTS.items():
        if name == new or name.startswith(f"{new}."):
            return old + name.removeprefix(new)
    return name
