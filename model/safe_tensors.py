"""Tensors on disk as safetensors: written with a checksum, and checked whenever they are read."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import CheckpointError, WorldGPTError
from .safe_json import one_line, parse_json

OURS = "worldgpt"
"""The one key of the metadata that we write, as safetensors keeps several in no fixed order."""
CHECKSUM = "checksum"


def save_tensors(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    texts: Mapping[str, str] | None = None,
    sealed: bool = False,
) -> None:
    """Write ``tensors``, on any device, to ``path``; the same tensors give the same bytes.

    Args:
        path: of the file; write it beside its place and move it there.
        tensors: by name.
        texts: to keep with them.
        sealed: it is part of a folder whose manifest has its hash, and needs no checksum.

    Raises:
        SafetensorError: the disk is full.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    told = dict(texts or {})
    if not sealed:
        told[CHECKSUM] = checksum(whole, told)
    save_file(whole, path, {OURS: json.dumps(told, sort_keys=True)} if told else {"format": "pt"})


def read_tensors(
    path: str | Path,
    cure: str = "Copy it again.",
    error: type[WorldGPTError] = CheckpointError,
    unchecked: Collection[str] = (),
) -> dict[str, Tensor]:
    """Return the tensors in the file ``path``; see :func:`read_tensors_and_texts`."""
    return read_tensors_and_texts(path, cure, error, unchecked)[0]


def read_tensors_and_texts(
    path: str | Path,
    cure: str = "Copy it again.",
    error: type[WorldGPTError] = CheckpointError,
    unchecked: Collection[str] = (),
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors in the file ``path``, and the texts that were kept with them.

    A file without a checksum, as older versions wrote them, is read too.

    Args:
        path: of the file.
        cure: what to do about a file that cannot be read, as a sentence.
        error: what is raised then.
        unchecked: names, up to a ``/``, of tensors that may hold NaN or infinity.

    Raises:
        WorldGPTError: of the kind ``error``, in one sentence: the file is missing, truncated or
            changed, or a tensor holds NaN or infinity.
    """
    try:
        if not Path(path).is_file():
            raise ValueError("it is not there" if not Path(path).exists() else "it is no file")
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            told = dict(file.metadata() or {})
        told |= parse_json(told.pop(OURS).encode()) if OURS in told else {}
        wanted = told.pop(CHECKSUM, None)
        if wanted is not None and wanted != checksum(tensors, told):
            raise ValueError("it is not as it was written (truncated or changed)")
    except (OSError, SafetensorError, ValueError, TypeError, RuntimeError, LookupError) as problem:
        raise error(f"{path} cannot be read: {one_line(problem)}. {cure}") from problem
    for name, tensor in tensors.items():
        if name.partition("/")[0] not in unchecked and not is_finite(tensor):
            raise error(f"{path} holds NaN or infinity in {name!r}. {cure}")
    return tensors, told


def checksum(tensors: Mapping[str, Tensor], told: Mapping[str, str]) -> str:
    """Return a number that changes with any name, type, shape, bit or text."""
    total = zlib.crc32(repr(sorted(told.items())).encode())
    for name, tensor in sorted(tensors.items()):
        total = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), total)
        total = zlib.crc32(tensor.flatten().view(torch.uint8).numpy().data, total)
    return f"{total:08x}"


def is_finite(tensor: Tensor) -> bool:
    """Return whether ``tensor`` holds neither NaN nor infinity; one pass, nothing is copied."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.element_size() == 1:  # torch finds no extremes of these types
        tensor = tensor.float()
    low, high = torch.aminmax(tensor)
    return math.isfinite(float(low)) and math.isfinite(float(high))
