"""VectorDynamics: an ensemble that predicts the next numbers, the reward and the end of a world."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..bounds import check_fields
from ..errors import ConfigurationError
from .backbones import BACKBONES, LlamaBackbone, MlpBackbone
from .ensemble import ensemble_mlp, select_members
from .scaling import LIMIT, Scaling

LOG_VARIANCE = (-12.0, 0.5)
"""Bounds of the predicted log variance of a scaled change."""
_SIZES = (1, 2**14)


@dataclass(frozen=True)
class VectorDynamicsConfig:
    """How large a :class:`VectorDynamics` is.

    Attributes:
        members: networks that learn side by side; where they disagree, the model does not know.
        elites: of these, the best on held-out steps, which imagine.
        backbone: ``"mlp"``, or ``"llama"`` read at signal tokens.
        width: of the hidden layers.
        layers: how many.
        end_width: of the two hidden layers of the networks for the end and for the reward.
    """

    members: int = 5
    elites: int = 4
    backbone: str = "mlp"
    width: int = 128
    layers: int = 3
    end_width: int = 64

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if self.backbone not in BACKBONES:
            raise ConfigurationError(
                f"backbone is {self.backbone!r}; use one of {', '.join(BACKBONES)}."
            )
        check_fields(self, members=(1, 1024), elites=(1, 1024), width=_SIZES, layers=(1, 256),
                     end_width=_SIZES)  # fmt: skip
        if self.elites > self.members:
            raise ConfigurationError(f"{self.elites} elites of {self.members} members; use fewer.")


@dataclass(frozen=True)
class VectorStep:
    """One imagined step of ``B`` rows (or ``(K, B)`` with members in front).

    Attributes:
        next_states: ``(B, D)`` float32.
        rewards: ``(B,)`` float32.
        terminated: ``(B,)`` bool.
        outside: ``(B,)`` bool, the step would leave what was recorded; ``next_states`` stop there.
    """

    next_states: Tensor
    rewards: Tensor
    terminated: Tensor
    outside: Tensor


class VectorDynamics(nn.Module):
    """Gaussian heads on the scaled change of each number, members side by side.

    Three networks per member, which share nothing: in a trunk shared with a Gaussian likelihood the
    end is never learned (recall 0.00 measured). The change reads state and action. The end reads
    state, action and what they led to. The reward reads the same and has two values, one for a step
    that ends the episode, so that what is paid at a goal is never promised without the goal.
    After PETS (arXiv 1805.12114) and MBPO (1906.08253).

    Args:
        state: how many numbers a state has.
        action: length of an encoded action.
        config: the size.
        bounds: ``(D,)`` lowest and highest of each number, ``UNBOUNDED`` where there is none.
    """

    elites: Tensor
    end_shift: Tensor
    has_ends: Tensor

    def __init__(
        self,
        state: int,
        action: int,
        config: VectorDynamicsConfig | None = None,
        bounds: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Build the networks with random weights; :func:`~.fitting.fit` learns them."""
        super().__init__()
        self.config = config or VectorDynamicsConfig()
        self.state_size, self.action_size = state, action
        kind = MlpBackbone if self.config.backbone == "mlp" else LlamaBackbone
        members, width = self.config.members, self.config.width
        self.change = kind(members, state, action, 2 * state, width, self.config.layers)
        self.end = ensemble_mlp(members, 2 * state + action, self.config.end_width, 1, 2)
        self.reward = ensemble_mlp(members, 2 * state + action, self.config.end_width, 2, 2)
        self.scaling = Scaling(state, *(bounds or ()))
        self.register_buffer("elites", torch.arange(self.config.elites))
        self.register_buffer("end_shift", torch.zeros(()))
        self.register_buffer("has_ends", torch.zeros((), dtype=torch.bool))

    # what each network says ---------------------------------------------------------------------

    def predict_change(self, states: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the scaled change, ``(K, B, D)`` each."""
        out = self.change(self.scaling.state(states), actions)
        mean, log_variance = out.chunk(2, dim=-1)
        least, most = LOG_VARIANCE
        log_variance = most - functional.softplus(most - log_variance)
        return mean, least + functional.softplus(log_variance - least)

    def consequence(self, states: Tensor, actions: Tensor, next_states: Tensor) -> Tensor:
        """Return what end and reward are read from: next state, action, scaled change."""
        change = self.scaling.change(states, next_states).clamp(-LIMIT, LIMIT)
        return torch.cat([self.scaling.state(next_states), actions, change], dim=-1)

    def end_logits(self, consequence: Tensor) -> Tensor:
        """Return logits of the end, ``(K, B)``; above 0 it is an end."""
        return self.end(consequence)[..., 0] + self.end_shift

    def scaled_reward(self, consequence: Tensor, terminated: Tensor) -> Tensor:
        """Return the scaled reward, ``(K, B)``."""
        going, ended = self.reward(consequence).unbind(-1)
        return torch.where(terminated, ended, going)

    # imagination --------------------------------------------------------------------------------

    @torch.no_grad()
    def step(
        self, states: Tensor, actions: Tensor, generator: torch.Generator | None = None
    ) -> VectorStep:
        """Let each member imagine its own rows: ``(K, B, D)`` and ``(K, B, A)`` in.

        Args:
            states: raw states.
            actions: encoded actions.
            generator: draws the change; without one it is the mean.
        """
        mean, log_variance = self.predict_change(states, actions)
        if generator is not None:
            noise = torch.randn(mean.shape, generator=generator)
            mean = mean + torch.exp(0.5 * log_variance) * noise
        following, outside = self.scaling.moved(states, mean)
        consequence = self.consequence(states, actions, following)
        terminated = torch.zeros(states.shape[:-1], dtype=torch.bool)
        if self.has_ends:
            terminated = self.end_logits(consequence) > 0
        reward = self.scaling.raw_reward(self.scaled_reward(consequence, terminated), terminated)
        return VectorStep(following, reward, terminated, outside)

    @torch.no_grad()
    def disagreement(self, states: Tensor, actions: Tensor) -> Tensor:
        """Return how far the members' means lie apart, ``(B,)``, in spreads of the true change."""
        members = self.config.members
        mean, _ = self.predict_change(
            states.expand(members, *states.shape), actions.expand(members, *actions.shape)
        )
        return mean.var(0).masked_fill(self.scaling.constant, 0.0).mean(-1).sqrt()

    def imaginer(self) -> VectorDynamics:
        """Return a copy with the elites alone, for imagination; it does not learn."""
        chosen = copy.deepcopy(self)
        chosen.change.keep_members(self.elites)
        for network in (chosen.end, chosen.reward):
            select_members(network, self.elites)
        return chosen.requires_grad_(False).eval()


def imagine_rows(
    imaginer: VectorDynamics,
    states: Tensor,
    actions: Tensor,
    generator: torch.Generator | None = None,
) -> VectorStep:
    """Imagine a step of ``B`` rows, dealt to the members of ``imaginer`` in equal runs.

    Row ``i`` always goes to the same member while ``B`` stays, so a dream keeps to one world.
    """
    rows, members = len(states), len(imaginer.elites)
    each = -(-rows // members)
    filler = torch.arange(each * members) % rows
    step = imaginer.step(
        states[filler].view(members, each, -1), actions[filler].view(members, each, -1), generator
    )
    return VectorStep(
        step.next_states.reshape(each * members, -1)[:rows],
        step.rewards.reshape(-1)[:rows],
        step.terminated.reshape(-1)[:rows],
        step.outside.reshape(-1)[:rows],
    )
