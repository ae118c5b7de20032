"""Models on disk: a folder of safetensors and JSON, verified when read, replaced as a whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from .configuration import WorldGPTConfig
from .errors import CheckpointError
from .safe_io import atomic_folder, recover_folder, write_json, write_tensors

if TYPE_CHECKING:
    from .worldgpt import WorldGPT

MANIFEST = "manifest.json"


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
        recover_folder(folder)
        if (folder / MANIFEST).is_file():
            return folder
    raise CheckpointError(
        f"there is no world model {str(name_or_path)!r}: no such folder with a {MANIFEST}, and the "
        f"embedded worlds are {embedded_worlds()}. Train one: worldgpt train --data DIR --out MODEL"
    )


def write_folder(folder: Path, write: Callable[[Path], None], keep: Path | None = None) -> None:
    """Fill a new folder with ``write``, seal it, and put it in the place of ``folder`` at once.

    Whatever stops the writing (a full disk, Ctrl-C), the old folder stays as it was; ``keep`` is
    where it goes once the new one is at its place, see :func:`atomic_folder`.
    """
    with atomic_folder(folder, keep) as draft:
        write(draft)
        seal(draft)


def seal(folder: Path) -> None:
    """Write the manifest: the size and sha256 of every other file of ``folder``."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    entries = {
        str(p.relative_to(folder)): {"size": p.stat().st_size, "sha256": digest(p)} for p in files
    }
    write_json(folder / MANIFEST, {"format": 1, "files": entries})


def verify(folder: Path) -> None:
    """Compare every file of ``folder`` with its manifest.

    Raises:
        CheckpointError: naming the file that is missing, truncated or changed.
    """
    recover_folder(folder)
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


def save_model(model: WorldGPT, folder: Path) -> None:
    """Write ``model`` to ``folder``; other files that the folder already holds are kept."""

    def write(draft: Path) -> None:
        for old in folder.iterdir() if folder.is_dir() else ():
            if old.name not in ("config.json", "model.safetensors", MANIFEST):
                (shutil.copytree if old.is_dir() else shutil.copy2)(old, draft / old.name)
        write_model(model, draft)

    write_folder(folder, write)


def write_model(model: WorldGPT, folder: Path) -> None:
    """Write config.json and model.safetensors into an existing ``folder``."""
    write_tensors(folder / "model.safetensors", model.state_dict(), {"format": "pt"})
    fields = json.loads(model.config.to_json_string(use_diff=False))
    fields.pop("_name_or_path", None)  # where it was loaded from says nothing on another machine
    fields["backbone"] = (
        model.backbone.settings
    )  # with the hash of a checkpoint, which config lacks
    for modality in model.specs:
        if model.codec(modality).continuous:  # with the hash of the encoder
            fields["codecs"][str(modality)] = model.codec(modality).to_json()
    (folder / "config.json").write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")


def load_model(name_or_path: str | Path, settings: dict[str, Any]) -> WorldGPT:
    """Return the verified model of an embedded name or folder, in evaluation mode."""
    from .worldgpt import WorldGPT

    folder = resolve(name_or_path)
    verify(folder)
    try:
        fields = json.loads((folder / "config.json").read_text())
        model = WorldGPT(WorldGPTConfig.from_dict(fields | settings))
        model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{folder} holds no world model of this version: {error}") from error
    model.config._name_or_path = str(name_or_path)
    return model.eval()
