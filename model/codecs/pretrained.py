"""Codecs over pretrained encoders, by name or folder: CLIP, SigLIP, DINOv2, CLAP, V-JEPA 2, ..."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..bounds import check_fields
from ..errors import ConfigurationError, WorldGPTError
from ..external_weights import Referring, check_digest, freeze, weights_digest
from ..memory_limit import no_memory_limit
from ..modalities import AudioSpec, ImageSpec, Modality, ModalitySpec, TextSpec, VideoSpec
from ..safe_json import one_line, shorten
from .continuous import ContinuousCodec
from .languagebind import LanguageBindTower
from .towers import ClipTower, PictureTower, SentenceTower, SoundTower, Tower

TOWERS: dict[type[ModalitySpec], dict[str, type[Tower]]] = {
    ImageSpec: dict.fromkeys(PictureTower.networks, PictureTower)
    | {"languagebind": LanguageBindTower},
    VideoSpec: dict.fromkeys(PictureTower.networks, PictureTower)
    | {"vjepa2": ClipTower, "languagebind": LanguageBindTower},
    AudioSpec: {"clap": SoundTower, "languagebind": LanguageBindTower},
    TextSpec: dict.fromkeys(SentenceTower.networks, SentenceTower),
}
"""Which encoders there are for which modality."""

MODALITY_OF: dict[type[ModalitySpec], Modality] = {
    ImageSpec: Modality.IMAGE,
    VideoSpec: Modality.VIDEO,
    AudioSpec: Modality.AUDIO,
    TextSpec: Modality.TEXT,
}


@dataclass(frozen=True)
class PretrainedCodecConfig:
    """Which encoder, and where its weights are.

    The last three are filled in when the weights are loaded, and come back with a saved model.

    Attributes:
        encoder: a key of :data:`TOWERS` for the modality, such as ``"clip"``.
        path: name on the hub, or folder with config.json and safetensors.
        tokens: ``"pooled"`` (one vector, as in the paper) or ``"patches"`` (one a patch).
        embed_weights: save the weights with the model instead of their name and hash.
        sha256: of the weights and the recipe; checked when they are loaded again.
        architecture: the network's configuration, where the weights are embedded.
        recipe: how observations are prepared.
    """

    encoder: str
    path: str
    tokens: str = "pooled"
    embed_weights: bool = False
    sha256: str = ""
    architecture: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse unknown settings."""
        check_fields(self)
        if not isinstance(self.architecture, dict) or not isinstance(self.recipe, dict):
            raise ConfigurationError(
                f"architecture {shorten(self.architecture)} and recipe {shorten(self.recipe)} of "
                "an encoder must be dicts."
            )
        if self.tokens not in ("pooled", "patches"):
            raise ConfigurationError(f"tokens is {self.tokens!r}; use 'pooled' or 'patches'.")


class FrozenTower(Referring):
    """A tower that never trains, and is saved only where the model is to embed it."""

    def __init__(self, tower: Tower, embedded: bool) -> None:
        """Freeze ``tower``."""
        super().__init__()
        freeze(tower)
        self.tower, self.embedded = tower, embedded

    def is_referred(self, name: str) -> bool:
        """Return whether the weights are left out of the state dict."""
        return not self.embedded

    def train(self, mode: bool = True) -> FrozenTower:
        """Stay in evaluation mode, whatever the model around it does."""
        return super().train(False)

    def forward(self, raw: Tensor) -> Tensor:
        """Return the vectors of ``raw``."""
        return self.tower(raw)


class PretrainedCodec(ContinuousCodec):
    """A continuous codec over the frozen encoder that its config names."""

    config: PretrainedCodecConfig

    def __init__(self, spec: ModalitySpec, config: PretrainedCodecConfig) -> None:
        """Load the weights, or build their network where a saved model brings them.

        Raises:
            ConfigurationError: if the encoder is not for this modality, or cannot be loaded.
            CheckpointError: if the weights are not those that ``config.sha256`` names.
        """
        tower = open_tower(spec, config)
        if not (config.embed_weights and config.architecture):
            digest = weights_digest(tower, json.dumps(tower.recipe, sort_keys=True))
            check_digest(config.path, config.sha256, digest)
            config = dataclasses.replace(config, sha256=digest, recipe=tower.recipe)
        if config.embed_weights:
            config = dataclasses.replace(config, architecture=tower.architecture)
        frozen = FrozenTower(tower, config.embed_weights)
        with torch.no_grad():
            cells, width = frozen(blank(spec)).shape[1:]
        super().__init__(MODALITY_OF[type(spec)], spec, config, cells, width)
        self.encoder = frozen

    def embed(self, raw: Tensor) -> Tensor:
        """Return what the encoder gives for ``raw`` ``(B, *shape)``: ``(B, C, E)``."""
        return self.encoder(raw)


def open_tower(spec: ModalitySpec, config: PretrainedCodecConfig) -> Tower:
    """Return the tower that ``config`` names for ``spec``."""
    kinds = TOWERS.get(type(spec), {})
    if config.encoder not in kinds:
        raise ConfigurationError(
            f"there is no encoder {config.encoder!r} for {type(spec).__name__}; "
            f"there are {sorted(kinds)}."
        )
    kind, pooled = kinds[config.encoder], config.tokens == "pooled"
    if config.embed_weights and config.architecture:
        return kind.rebuild(config.encoder, config.architecture, spec, config.recipe, pooled)
    try:
        with no_memory_limit():
            return kind.open(config.encoder, config.path, spec, config.recipe, pooled)
    except WorldGPTError:
        raise
    except Exception as error:  # what foreign files lead to can be anything
        raise ConfigurationError(
            f"no {config.encoder!r} encoder can be loaded from {config.path!r}: {one_line(error)}."
        ) from error


def blank(spec: ModalitySpec) -> Tensor:
    """Return one empty observation ``(1, *shape)``."""
    kind = torch.from_numpy(spec.dtype.type(0).reshape(1)).dtype
    return torch.zeros(1, *spec.shape, dtype=kind)
