"""Candidates: snapshots of the agent; the one that does best in whole dreams is judged and kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from worldgpt_env.model.checkpoint import CURE, check_fit
from worldgpt_env.model.safe_io import write_tensors
from worldgpt_env.model.safe_tensors import read_tensors_and_texts
from worldgpt_env.model.vector_dynamics.ensemble_dynamics import imagine_rows
from worldgpt_env.policies.dream import Dream
from worldgpt_env.policies.dynamics_vec_env import DynamicsVecEnv

from .agent_state import Policy, acting_as, policy_tensors

DREAMS = 64
MOST = 4
"""Candidates that go on into the next round."""


@dataclass
class Candidate:
    """One snapshot.

    Attributes:
        policy: its tensors.
        born: round and part in which it was taken, as ``"3.9"``.
        dreamt: mean return of whole dreams in the newest dynamics, in the world's rewards.
    """

    policy: Policy
    born: str
    dreamt: float = float("-inf")


@torch.no_grad()
def dream_return(
    algorithm: BaseAlgorithm, env: DynamicsVecEnv, dream: Dream, limit: int, seed: int
) -> float:
    """Return the mean return of whole dreams from first states of episodes, most likely actions.

    Dreams are as long as episodes of the world may be: a shorter one cannot tell who falls late.
    One that leaves what was recorded ends there, and every step that is left brings the worst.
    """
    generator = torch.Generator().manual_seed(seed)
    begin = torch.randint(len(dream.initial), (DREAMS,), generator=generator)
    states, returns = dream.initial[begin], torch.zeros(DREAMS)
    going = torch.ones(DREAMS, dtype=torch.bool)
    for age in range(1, limit + 1):
        actions, _ = algorithm.predict({"vector": states.numpy()}, deterministic=True)
        step = imagine_rows(dream.imaginer, states, env.encoder(actions), generator)
        returns += step.rewards * going
        lost = going & step.outside & ~step.terminated
        returns += lost * (limit - age) * dream.worst_reward
        going &= ~(step.terminated | step.outside)
        states = step.next_states
        if not going.any():
            break
    return float(returns.mean())


class PolicyCandidates:
    """The snapshots that are still in the race."""

    def __init__(self, found: list[Candidate] | None = None) -> None:
        """Go on with ``found``."""
        self.found = list(found or [])

    def add(self, algorithm: BaseAlgorithm, born: str) -> None:
        """Take a snapshot of ``algorithm``."""
        self.found.append(Candidate(policy_tensors(algorithm), born))

    def choose(
        self, algorithm: BaseAlgorithm, env: DynamicsVecEnv, dream: Dream, limit: int, seed: int
    ) -> Candidate:
        """Dream with every snapshot and return the best; of equals the newest.

        No real step is used. All but the best :data:`MOST` are dropped. ``algorithm`` keeps its own
        policy.
        """
        for candidate in self.found:
            with acting_as(algorithm, candidate.policy):
                candidate.dreamt = dream_return(algorithm, env, dream, limit, seed)
        order = sorted(range(len(self.found)), key=lambda n: (self.found[n].dreamt, n))
        best = self.found[order[-1]]
        self.found = [self.found[n] for n in sorted(order[-MOST:])]
        return best

    def save(self, folder: Path) -> None:
        """Write all snapshots into ``folder``."""
        for number, candidate in enumerate(self.found):
            path = folder / f"candidate-{number}.safetensors"
            write_tensors(path, candidate.policy, {"born": candidate.born})

    @classmethod
    def load(cls, folder: Path, algorithm: BaseAlgorithm) -> PolicyCandidates:
        """Return the snapshots of ``algorithm`` in ``folder``.

        Raises:
            CheckpointError: a file is damaged, or of another agent.
        """
        found = []
        for path in sorted(folder.glob("candidate-*.safetensors")):
            tensors, texts = read_tensors_and_texts(path, CURE)
            check_fit(algorithm.policy, tensors, path)
            found.append(Candidate(tensors, texts.get("born", "")))
        return cls(found)
