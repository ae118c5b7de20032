"""From a multimodal observation to the features of a Stable-Baselines3 policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import (
    get_flattened_obs_dim,
    is_image_space,
    is_image_space_channels_first,
)
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality


class LatentExtractor(BaseFeaturesExtractor):
    """Joins the latent observations of all modalities: one concatenation, nothing to learn.

    Features: ``(B, sum of the sizes)`` float32, in the order of the space's keys.
    """

    def __init__(self, observation_space: spaces.Dict) -> None:
        """Take a Dict of one-dimensional Boxes."""
        super().__init__(
            observation_space,
            features_dim=sum(get_flattened_obs_dim(s) for s in observation_space.spaces.values()),
        )
        self.keys = list(observation_space.spaces)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Return ``(B, features)``."""
        return torch.cat([observations[key] for key in self.keys], dim=1)


class MultimodalExtractor(BaseFeaturesExtractor):
    """One small network per modality of a decoded observation, joined by a linear layer.

    An image of any size passes three convolutions, and so does a video, its frames as channels;
    sound the log energy of each channel in eight slices of time, words an embedding per slot,
    numbers an MLP; each then a linear layer.

    Args:
        observation_space: Dict with any of the keys ``image``, ``video``, ``audio``, ``text``,
            ``vector``.
        features_dim: width of the joint features, ``(B, features_dim)``.
        width: width of each modality's features before they are joined.
    """

    def __init__(
        self, observation_space: spaces.Dict, features_dim: int = 256, width: int = 128
    ) -> None:
        """Build one branch per key of the space."""
        super().__init__(observation_space, features_dim)
        branches = {key: _branch(key, s, width) for key, s in observation_space.spaces.items()}
        self.branches = nn.ModuleDict(branches)
        self.join = nn.Sequential(nn.Linear(width * len(branches), features_dim), nn.ReLU())

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Return ``(B, features_dim)`` from observations as Stable-Baselines3 preprocesses them."""
        parts = [branch(observations[key]) for key, branch in self.branches.items()]
        return self.join(torch.cat(parts, dim=1))


def _branch(key: str, space: spaces.Space, width: int) -> nn.Module:
    """Return the network of one modality, ``(B, ...)`` to ``(B, width)``."""
    shape = space.shape or ()
    if key == Modality.IMAGE and is_image_space(space):
        first = isinstance(space, spaces.Box) and is_image_space_channels_first(space)
        channels, *sides = shape if first else (shape[2], *shape[:2])
        return _ImageBranch(channels, sides, width)
    if key == Modality.VIDEO and len(shape) == 4 and space.dtype == np.uint8:
        return _VideoBranch(shape, width)
    if key == Modality.AUDIO and len(shape) == 2:
        return _AudioBranch(shape[0], shape[1], width)
    if isinstance(space, spaces.Box) and len(shape) == 1:
        if key == Modality.TEXT and np.issubdtype(space.dtype, np.integer):
            return _TextBranch(shape[0], int(space.high.max()) + 1, width)
        if key == Modality.VECTOR:
            return _VectorBranch(space, width)
    raise ConfigurationError(
        f"no features for {key!r} of {space}; MultimodalExtractor reads image (H, W, 3) uint8, "
        "video (frames, H, W, 3) uint8, audio (samples, channels), text (slots,) integers and "
        "vector (n,); for obs_mode='latent' use LatentExtractor."
    )


class _ImageBranch(nn.Module):
    """Three strided convolutions, ``(B, channels, H, W)`` in [0, 1] to ``(B, width)``."""

    def __init__(self, channels: int, sides: Sequence[int], width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(channels, 32, 5, 2, 2), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU()),
            *(nn.Conv2d(64, 64, 3, 2, 1), nn.ReLU()),
            nn.Flatten(),
        )
        cells = math.prod(math.ceil(side / 8) for side in sides)
        self.head = nn.Sequential(nn.Linear(64 * cells, width), nn.ReLU())

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image))


class _VideoBranch(_ImageBranch):
    """The frames as channels of one image, ``(B, frames, H, W, 3)`` of 0 to 255."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        frames, height, columns, colours = shape
        super().__init__(frames * colours, (height, columns), width)

    def forward(self, video: Tensor) -> Tensor:
        channels = video.permute(0, 1, 4, 2, 3).flatten(1, 2)  # (B, frames*3, H, W)
        return super().forward(channels.float() / 255)  # SB3 scales images only


class _AudioBranch(nn.Module):
    """Log energy of up to 8 slices per channel, ``(B, samples, channels)`` to ``(B, width)``."""

    def __init__(self, samples: int, channels: int, width: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool1d(min(8, samples))
        self.head = nn.Sequential(nn.Linear(channels * min(8, samples), width), nn.ReLU())

    def forward(self, audio: Tensor) -> Tensor:
        energy = self.pool(audio.transpose(1, 2).square())  # (B, channels, slices)
        return self.head(energy.add(1e-8).log10().flatten(1) / 8 + 1)  # 1e-8 ↦ 0, full scale ↦ 1


class _TextBranch(nn.Module):
    """An embedding per slot, ``(B, slots)`` word ids (as floats) to ``(B, width)``."""

    def __init__(self, slots: int, words: int, width: int, size: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, size, padding_idx=0)
        self.head = nn.Sequential(nn.Linear(slots * size, width), nn.ReLU())

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embedding(ids.long()).flatten(1))


class _VectorBranch(nn.Module):
    """Numbers scaled by their bounds, ``(B, n)`` to ``(B, width)``."""

    def __init__(self, space: spaces.Box, width: int) -> None:
        super().__init__()
        low, high = (torch.as_tensor(b, dtype=torch.float32) for b in (space.low, space.high))
        bounded = torch.isfinite(low) & torch.isfinite(high)
        self.register_buffer("shift", torch.where(bounded, (low + high) / 2, 0.0))
        self.register_buffer("scale", torch.where(bounded, (high - low) / 2, 1.0))
        self.body = nn.Sequential(
            *(nn.Linear(low.numel(), width), nn.ReLU()), *(nn.Linear(width, width), nn.ReLU())
        )

    shift: Tensor
    scale: Tensor

    def forward(self, vector: Tensor) -> Tensor:
        return self.body((vector - self.shift) / self.scale)


def default_policy(observation_space: spaces.Space, obs_mode: str) -> tuple[str, dict[str, Any]]:
    """Return the Stable-Baselines3 policy name and ``policy_kwargs`` that fit an observation mode.

    Latent observations go straight into a small MLP; decoded ones first through
    :class:`MultimodalExtractor`.
    """
    if not isinstance(observation_space, spaces.Dict):
        return "MlpPolicy", {}
    extractor = LatentExtractor if obs_mode == "latent" else MultimodalExtractor
    return "MultiInputPolicy", {"features_extractor_class": extractor}
