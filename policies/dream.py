"""Dream: what an agent of numbers dreams of, and what its dreams are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worldgpt_env.model.vector_dynamics import VectorDynamics, VectorStep, VectorTransitions
from worldgpt_env.model.vector_dynamics.ensemble_dynamics import imagine_rows

from .branch_replay import Steps

Act = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From states to actions, as the agent learns from them and as the dynamics reads them."""
NEIGHBOURS = 3
"""A state is as new as its third nearest among those visited is far."""
KNOWN_BY_HEART = 1e-12
"""The least that is usual, so that nothing is divided by 0."""
LOW = 0.05
"""Quantile of the rewards that is expected outside of what was recorded."""
FAR = 1e-4
"""One less the discount of an agent that looks ahead without end: so far is far enough."""
MOST_COMPARED = 4096
"""Visited states that are compared with, evenly spread over the recording."""


@dataclass(frozen=True)
class Dream:
    """What an agent dreams of.

    Attributes:
        dynamics: all members, for disagreement.
        imaginer: its elites, :meth:`VectorDynamics.imaginer`.
        visited: ``(N, D)`` states of the recording, where half of the dreams begin.
        initial: ``(M, D)`` first states of real episodes, where the others begin.
        reward_scale: every reward is divided by it.
        discount: of the agent.
        worst_reward: that a step may bring outside of what was recorded.
        curious: the reward is what is new to the dynamics, instead of the world's reward.
        usual: the mean disagreement and novelty of what was recorded, which are each worth 1.
    """

    dynamics: VectorDynamics
    imaginer: VectorDynamics
    visited: Tensor
    initial: Tensor
    reward_scale: float = 1.0
    discount: float = 0.99
    worst_reward: float = 0.0
    curious: bool = False
    usual: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of(
        cls,
        dynamics: VectorDynamics,
        data: VectorTransitions,
        discount: float,
        reward_scale: float = 1.0,
        curious: bool = False,
    ) -> Dream:
        """Return dreams of ``dynamics``, which was fitted to ``data``."""
        going = data.rewards[~data.terminated] if not data.terminated.all() else data.rewards
        lowest = float(going.quantile(LOW))  # the very lowest is an accident
        dream = cls(
            dynamics,
            dynamics.imaginer(),
            data.states,
            data.states[data.first],
            reward_scale,
            discount,
            min(lowest, 0.0) if dynamics.has_ends else lowest,
            curious,
        )
        if not curious:
            return dream
        told = (dynamics.disagreement(data.states, data.actions), dream.novelty(data.states))
        disagreement, novelty = (max(float(part.mean()), KNOWN_BY_HEART) for part in told)
        return replace(dream, usual=(disagreement, novelty))

    def step(self, states: Tensor, actions: Tensor, generator: torch.Generator) -> VectorStep:
        """Imagine a step of ``B`` rows as the agent learns from it.

        A dream that leaves what was recorded ends there, with the worst that may follow: nothing
        is known of what is outside, and an agent that may expect good of it goes there
        (pessimism after MOReL, arXiv 2005.05951). A curious agent may.
        """
        step = imagine_rows(self.imaginer, states, actions, generator)
        if self.curious:
            return replace(step, rewards=self.curiosity(states, actions, step.next_states))
        worst = self.discount * self.worst_reward / max(1 - self.discount, FAR)
        rewards = step.rewards + worst * (step.outside & ~step.terminated)
        return replace(
            step, rewards=rewards / self.reward_scale, terminated=step.terminated | step.outside
        )

    @torch.no_grad()
    def branches(self, begin: Tensor, length: int, act: Act, generator: torch.Generator) -> Steps:
        """Imagine a branch of at most ``length`` steps from each state of ``begin``, ``(B, D)``."""
        states, found = begin, []
        for _ in range(length):
            actions, encoded = act(states)
            step = self.step(states, encoded, generator)
            ends = step.terminated.float()
            found.append(Steps(states, actions, step.next_states, ends, step.rewards))
            states = step.next_states[~step.terminated]
            if not len(states):
                break
        return Steps.joined(found)

    def curiosity(self, states: Tensor, actions: Tensor, next_states: Tensor) -> Tensor:
        """Return the reward of a curious agent, ``(B,)``: half for each of two, at most 5.

        The members' disagreement finds what is hard to predict (Plan2Explore, arXiv 2005.05960). In
        a smooth world nothing is, and how far the next state lies from all others takes over.
        """
        disagreement = self.dynamics.disagreement(states, actions) / self.usual[0]
        novelty = self.novelty(next_states) / self.usual[1]
        return (disagreement.clamp(max=5) + novelty.clamp(max=5)) / 2

    def novelty(self, states: Tensor) -> Tensor:
        """Return the distance of ``states`` to the nearest that were visited, ``(B,)``."""
        scale = self.dynamics.scaling.state
        visited = self.visited
        if len(visited) > MOST_COMPARED:
            visited = visited[torch.linspace(0, len(visited) - 1, MOST_COMPARED).long()]
        known = scale(visited)
        parts = [torch.cdist(part, known) for part in scale(states).split(1024)]
        nearest = min(NEIGHBOURS, len(known))
        return torch.cat([part.kthvalue(nearest).values for part in parts])
