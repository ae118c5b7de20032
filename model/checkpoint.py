"""Models on disk: a folder of safetensors and JSON, verified when read, replaced as a whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .configuration import WorldGPTConfig
from .errors import CheckpointError
from .memory_limit import MemoryLimit
from .safe_io import atomic_folder, recover_folder, write_json, write_tensors
from .safe_json import Fields, one_line, read_json, shorten
from .safe_tensors import read_tensors

M = TypeVar("M", bound=nn.Module)

MANIFEST, CONFIG, WEIGHTS = "manifest.json", "config.json", "model.safetensors"
CURE = "Copy the whole folder again, or train anew."


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


def verify(folder: Path, *needed: str) -> None:
    """Compare every file of ``folder`` with its manifest, which must name those ``needed``.

    Raises:
        CheckpointError: naming the file that is missing, truncated or changed.
    """
    recover_folder(folder)
    files = _entries(folder)
    for name in needed:
        files.part(name)
    for name in files.data:
        _compare(folder, name, files.part(name))


def verify_beside(path: Path) -> None:
    """Compare the file ``path`` with the manifest of its folder, where one names it.

    Raises:
        CheckpointError: it is truncated or changed.
    """
    try:
        files = _entries(path.parent)
    except CheckpointError:
        return  # no manifest, or none of ours
    if path.name in files:
        _compare(path.parent, path.name, files.part(path.name))


def _entries(folder: Path) -> Fields:
    """Return what the manifest of ``folder`` says, by the name of each file."""
    told = Fields(read_json(folder / MANIFEST, CURE), folder / MANIFEST)
    told.choice("format", [1])
    return told.part("files")


def _compare(folder: Path, name: str, entry: Fields) -> None:
    """Compare one file with what the manifest says of it."""
    path = _inside(folder, name)
    size, sha256 = entry.whole("size", 0, 2**60), entry.text("sha256", pattern="[0-9a-f]{64}")
    try:
        if not path.is_file():
            raise CheckpointError(f"{path} is missing. {CURE}")
        if path.stat().st_size == size and digest(path) == sha256:
            return
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}. {CURE}") from error
    raise CheckpointError(f"{path} is not as it was written (truncated or changed). {CURE}")


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a file that a manifest names, which must lie in its folder."""
    with suppress(OSError, RuntimeError, ValueError):  # a circle of links, a NUL in the name
        if (folder / name).resolve().is_relative_to(folder.resolve()):
            return folder / name
    raise CheckpointError(f"{folder / MANIFEST} names {shorten(name)}, outside its folder.")


@contextmanager
def refused(path: Path, cure: str = CURE) -> Iterator[None]:
    """Turn whatever the contents of the file ``path`` lead to into one :class:`CheckpointError`.

    What a foreign class raises for a value that it does not expect can be anything.
    """
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        told = one_line(error, 600)
        raise CheckpointError(f"{path} cannot be used: {told}. {cure}") from error


def digest(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal; only of a real one: a pipe would wait for ever."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file")
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
    write_tensors(folder / WEIGHTS, tensors, sealed=True)
    kept = {name: value for name, value in fields.items() if name != "_name_or_path"}
    (folder / CONFIG).write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")


def load_checkpoint(
    name_or_path: str | Path,
    build: Callable[[WorldGPTConfig], M],
    settings: Mapping[str, Any],
    part: str = "",
) -> M:
    """Return the verified model of an embedded name or folder, in evaluation mode.

    Args:
        name_or_path: of the model.
        build: makes a model, or a part of one, from its configuration.
        settings: fields of the configuration to change.
        part: the name of that part; all by default.

    Raises:
        CheckpointError: if nothing is there, or a file is truncated, changed or of something else.
        ConfigurationError: if a setting is impossible.
    """
    folder = resolve(name_or_path)
    verify(folder, CONFIG, WEIGHTS)
    fields = read_json(folder / CONFIG, CURE)
    with refused(folder / CONFIG):
        WorldGPTConfig.from_fields(fields)  # faults of the file, before those of the settings
    config = WorldGPTConfig.from_fields({**fields, **settings})
    with refused(folder / CONFIG), MemoryLimit((folder / WEIGHTS).stat().st_size):
        model = build(config)
    tensors = _renamed(read_tensors(folder / WEIGHTS, CURE))
    if part:
        own = {name: t for name, t in tensors.items() if name.startswith(f"{part}.")}
        tensors = {name.removeprefix(f"{part}."): t for name, t in own.items()}
    check_fit(model, tensors, folder / WEIGHTS)
    model.load_state_dict(tensors, strict=True)
    config._name_or_path = str(name_or_path)
    return model.eval()


def check_fit(
    model: nn.Module, tensors: Mapping[str, Tensor], path: Path, cure: str = CURE
) -> None:
    """Refuse tensors of the file ``path`` that are not those of ``model``, as it was built.

    Whole numbers that a model holds are computed from its configuration, as which cells are
    neighbours: those of the file must be the same ones.

    Raises:
        CheckpointError: naming the first that is missing, foreign, or of another shape or type.
    """
    own = model.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors or name not in own:
            wrong = "lacks" if name in own else "holds what the model lacks,"
            raise CheckpointError(f"{path} {wrong} {shorten(name)}: it is of another model. {cure}")
        mine, found = own[name], tensors[name]
        floating = mine.is_floating_point() and found.is_floating_point()
        if mine.shape != found.shape or not (floating or mine.dtype == found.dtype):
            raise CheckpointError(
                f"{path} holds {shorten(name)} as {tuple(found.shape)} {found.dtype}, and the "
                f"model has {tuple(mine.shape)} {mine.dtype}: it is of another model. {cure}"
            )
        computed = mine.dtype == torch.int64 and not name.endswith("num_batches_tracked")
        if computed and not torch.equal(mine.cpu(), found):
            raise CheckpointError(f"{path} holds other numbers as {shorten(name)}. {cure}")


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
