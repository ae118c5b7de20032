"""Numbers in units of their own spread: what a policy of a vector world sees."""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from worldgpt_env.model.errors import ConfigurationError


class StandardisedExtractor(BaseFeaturesExtractor):
    """The ``vector`` of an observation, less its mean, in spreads, clipped at 10.

    Mean and spread are buffers of the policy, so it acts on the raw numbers of the real world. They
    are set by :func:`set_scale`, never learned.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, observation_space: spaces.Dict) -> None:
        """Take a Dict with one key, ``vector``."""
        if list(observation_space.spaces) != ["vector"]:
            raise ConfigurationError(
                f"StandardisedExtractor reads 'vector' alone, not {list(observation_space.spaces)}."
            )
        (size,) = observation_space["vector"].shape or (0,)
        super().__init__(observation_space, features_dim=size)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Return ``(B, n)``."""
        return ((observations["vector"].float() - self.mean) / self.spread).clamp(-10.0, 10.0)


def set_scale(algorithm: BaseAlgorithm, mean: Tensor, spread: Tensor) -> None:
    """Give ``mean`` and ``spread`` to every :class:`StandardisedExtractor` of ``algorithm``."""
    policy: nn.Module = algorithm.policy
    for part in policy.modules():
        if isinstance(part, StandardisedExtractor):
            part.mean.copy_(mean)
            part.spread.copy_(spread)
