"""The files of a knowledge base: their names and formats, and what does not fit a processor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import KnowledgeError
from ..modalities import Modality
from ..processor import Processor
from ..transitions import TransitionStore

DESCRIPTION, TENSORS = "knowledge.json", "knowledge.safetensors"
FORMAT = 2
PAIRS = 1  # the format that kept each transition's two states by themselves
CURE = "Copy the whole folder again, or build it anew: worldgpt knowledge."


def store_of_pairs(
    processor: Processor, tensors: dict[str, Tensor], scenarios: tuple[str, ...]
) -> TransitionStore:
    """Return the transitions of a base of the format ``PAIRS``."""
    groups: dict[str, dict[Modality, Tensor]] = {
        kind: {m: tensors[f"{kind}/{m}"] for m in processor.specs if f"{kind}/{m}" in tensors}
        for kind in ("state", "next", "present", "present_next")
    }
    names = [scenarios[number] for number in tensors["scenario"].tolist()]
    return TransitionStore.pairs(
        processor,
        groups["state"],
        tensors["action"],
        groups["next"],
        tensors["episode"],
        names,
        groups["present"],
        groups["present_next"],
    )


def check_description(description: Mapping[str, Any], processor: Processor, where: str) -> None:
    """Refuse a knowledge base of another model, and say in what it differs."""
    sizes = {str(m): size for m, size in processor.latent_sizes.items()}
    built = description["modalities"]
    ask = "build it anew: worldgpt knowledge --model MODEL --data DIR"
    if set(built) != set(sizes):
        raise KnowledgeError(
            f"the knowledge at {where} is of {sorted(built)} and the model of {sorted(sizes)}; "
            f"{ask}."
        )
    if built != sizes:
        raise KnowledgeError(
            f"the knowledge at {where} has latents of {built} and the model of {sizes}; {ask}."
        )
    known = description["format"] in (PAIRS, FORMAT)
    if not known or description["codec_sha256"] != processor.sha256:
        raise KnowledgeError(
            f"the knowledge at {where} was built with codecs of other weights or settings, whose "
            f"codes mean something else to this model; {ask}."
        )


def check_index(
    processor: Processor,
    store: TransitionStore,
    rows: Tensor,
    barred: Tensor,
    centres: dict[Modality, Tensor],
) -> None:
    """Refuse parts of an index that do not fit its transitions."""
    shapes = {"rows": (rows, (len(rows),)), "barred": (barred, (len(barred), 2))}
    for name, (part, shape) in shapes.items():
        if part.dtype != torch.int64 or tuple(part.shape) != shape:
            raise KnowledgeError(f"{name} is {part.dtype} {tuple(part.shape)}, not int64 {shape}")
    if not bool(torch.isin(rows, store.begins).all()):
        raise KnowledgeError("rows names a time step that begins no transition")
    for modality, centre in centres.items():
        size = processor.latent_sizes[modality] + 1
        if centre.dtype != torch.float32 or tuple(centre.shape) != (size,):
            raise KnowledgeError(f"the centre of {modality} is not float32 ({size},)")
