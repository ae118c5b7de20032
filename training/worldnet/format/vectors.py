"""Precomputed encoder vectors of media files, as safetensors that hold the numbers and no more."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality, ModalitySpec
from worldgpt_env.model.safe_io import write_tensors
from worldgpt_env.model.safe_json import parse_json
from worldgpt_env.model.safe_tensors import read_tensors_and_texts

from .annotation import LARGEST, MEDIA, Rejection, StateFiles, WorldNetError
from .fitting import Fitter
from .folder import WorldNetFolder
from .gate import MediaError, resolve

SHARD = 2**16  # vectors of one file
CURE = "Compute it again."


def write_vectors(
    root: str | Path,
    split: str,
    modality: Modality,
    encoder: str,
    vectors: Mapping[str, np.ndarray],
) -> list[Path]:
    """Write the vectors of media files into ``ROOT/MODALITY/SPLIT_pt/ENCODER-00000.safetensors``.

    Args:
        root: the WorldNet folder.
        split: whose files they are.
        modality: image, video or audio.
        encoder: name of what made them.
        vectors: ``(F,)`` float32 or float16 by media path as the annotations have it.

    Returns:
        The files, each with up to 65 536 vectors.

    Raises:
        ConfigurationError: a name or a vector does not fit.
    """
    _check_name(encoder)
    _check_name(split)
    shapes = {(vector.shape, vector.dtype) for vector in vectors.values()}
    kinds = (np.dtype(np.float32), np.dtype(np.float16))
    if len(shapes) != 1 or any(len(s) != 1 or dtype not in kinds for s, dtype in shapes):
        raise ConfigurationError(
            f"the vectors of {encoder!r} are {sorted(map(str, shapes))}; give one float32 or "
            "float16 vector of one length for each file."
        )
    folder, names, written = Path(root) / str(modality) / f"{split}_pt", list(vectors), []
    folder.mkdir(parents=True, exist_ok=True)
    for shard, start in enumerate(range(0, len(names), SHARD)):
        part = names[start : start + SHARD]
        path = folder / f"{encoder}-{shard:05d}.safetensors"
        _write(path, encoder, part, np.stack([vectors[name] for name in part]))
        written.append(path)
    return written


def compute_vectors(
    root: str | Path,
    split: str,
    modality: Modality,
    spec: ModalitySpec,
    encoder: str,
    encode: Callable[[np.ndarray], np.ndarray],
    chunk: int = 64,
) -> list[Rejection]:
    """Encode every media file of one split and modality once, and write the vectors.

    Args:
        root: the WorldNet folder.
        split: whose files.
        modality: image, video or audio.
        spec: the shape that files are fitted to.
        encoder: name to keep the vectors under.
        encode: ``(B, *spec.shape)`` to ``(B, F)`` float32.
        chunk: files encoded at once.

    Returns:
        Files that could not be read, and why.

    Raises:
        WorldNetError: there is no file to encode.
    """
    folder = WorldNetFolder.open(root)
    rows = folder.annotations(split).transitions
    states = (state for row in rows for state in (row.state0, row.state1))
    names = list(dict.fromkeys(name for s in states if (name := getattr(s, str(modality)))))
    fitter, rejected = Fitter(folder, {modality: spec}), []
    vectors: dict[str, np.ndarray] = {}
    for start in range(0, len(names), chunk):
        parts = {}
        for name in names[start : start + chunk]:
            try:
                parts[name] = fitter.fit(StateFiles(**{str(modality): name}))[modality]
            except MediaError as error:
                rejected.append(Rejection(str(folder.splits[split]), -1, str(error)))
        if parts:
            encoded = encode(np.stack(list(parts.values())))  # (B, F)
            vectors |= dict(zip(parts, encoded, strict=True))
    if not vectors:
        raise WorldNetError(f"the split {split!r} of {folder.root} has no {modality} to encode.")
    write_vectors(folder.root, split, modality, encoder, vectors)
    return rejected


class VectorStore:
    """The vectors of one encoder in a WorldNet folder, by media path."""

    def __init__(self, root: str | Path, encoder: str) -> None:
        """Find the files of ``encoder``.

        Raises:
            WorldNetError: there is none.
        """
        _check_name(encoder)
        self.root, self.encoder = Path(root), encoder
        self._tables: dict[Modality, dict[str, np.ndarray]] = {}
        shards = re.compile(re.escape(encoder) + r"-\d{5}")
        for kind in MEDIA:
            paths = sorted(self.root.glob(f"{kind}/*_pt/*.safetensors"))
            table = dict(
                row for path in paths if shards.fullmatch(path.stem) for row in self._read(path)
            )
            if table:
                self._tables[Modality(kind)] = table
        if not self._tables:
            raise WorldNetError(f"{root} has no vectors of {encoder!r}; see docs/worldnet.md.")

    def rows(
        self, states: Sequence[StateFiles], specs: Mapping[Modality, ModalitySpec]
    ) -> dict[Modality, np.ndarray]:
        """Return ``(len(states), F)`` float32 per modality that has vectors; zeros where missing.

        Raises:
            WorldNetError: a file has no vector.
        """
        found = {}
        for modality, table in self._tables.items():
            if modality not in specs:
                continue
            width = len(next(iter(table.values())))
            found[modality] = np.zeros((len(states), width), np.float32)
            for row, state in zip(found[modality], states, strict=True):
                name = getattr(state, str(modality))
                if name and name not in table:
                    raise WorldNetError(
                        f"{name} has no vector of {self.encoder!r}; compute them again."
                    )
                if name:
                    row[:] = table[name]
        return found

    def _read(self, path: Path) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the media path and the vector of each row of one file."""
        name = str(path.relative_to(self.root))
        try:
            place = resolve(self.root, name)
            tensors, told = read_tensors_and_texts(place, CURE, WorldNetError)
            vectors = tensors["vectors"].numpy()
            files = parse_json(told["files"].encode(), LARGEST)
            # Older versions wrote a hash of the vectors alone.
            whole = told.get("sha256") in (None, hashlib.sha256(vectors.tobytes()).hexdigest())
        except WorldNetError:
            raise
        except (MediaError, KeyError, TypeError, ValueError) as error:
            raise WorldNetError(f"{path} cannot be read ({error}). {CURE}") from error
        fits = vectors.ndim == 2 and isinstance(files, list) and len(files) == len(vectors)
        if not whole or told.get("encoder") != self.encoder or not fits:
            raise WorldNetError(f"{path} is not as it was written. {CURE}")
        return zip(files, vectors, strict=True)


def _write(path: Path, encoder: str, names: Sequence[str], vectors: np.ndarray) -> None:
    """Write one shard in one step; ``vectors`` is ``(N, F)``."""
    told = {"encoder": encoder, "files": json.dumps(names)}
    write_tensors(path, {"vectors": torch.from_numpy(vectors)}, told)


def _check_name(name: str) -> None:
    """Refuse a name that would lead elsewhere as a part of a path."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigurationError(f"{name!r} is no plain name; use letters, digits, - and dots.")
