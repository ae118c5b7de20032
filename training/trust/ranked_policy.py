"""RankedPolicy: an agent whose returns in the dream and in the real world are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldgpt_env.frame_stack import observed_now
from worldgpt_env.model import WorldGPT
from worldgpt_env.policies.baselines import Predictor
from worldgpt_env.policies.store import load_policy, read_policy
from worldgpt_env.worlds import World

from ..policy_evaluation import eyes
from ..remembering import with_memory
from .protocol import Observation, TrustedWorld


@dataclass(frozen=True)
class RankedPolicy:
    """One agent.

    Attributes:
        name: of its row in the card.
        policy: anything with Stable-Baselines3's ``predict``.
        origin: where it learned, for the card.
        decoded: it sees observations of the real world, in place of what
            :meth:`~.protocol.TrustedWorld.see` makes of them.
        keys: of the observations that it sees; all by default.
    """

    name: str
    policy: Predictor
    origin: str = "given"
    decoded: bool = False
    keys: tuple[str, ...] | None = None

    def in_dream(self, world: TrustedWorld, state: Any) -> Observation:
        """Return what the agent sees of imagined states."""
        return self._chosen(world.decode(state) if self.decoded else world.observe(state))

    def in_reality(self, world: TrustedWorld, observations: Observation) -> Observation:
        """Return what the agent sees of real observations."""
        return self._chosen(observations if self.decoded else world.see(observations))

    def _chosen(self, observation: Observation) -> Observation:
        if self.keys is None:
            return observation
        return {key: observation[key] for key in self.keys}


def stored_policy(
    folder: Path, name: str, origin: str, world: World, model: WorldGPT | str
) -> RankedPolicy:
    """Return the agent that a folder holds.

    Raises:
        CheckpointError: the folder holds none, or it is damaged.
        ConfigurationError: it learned in another world, or sees by other codecs than the model's.
    """
    record = read_policy(folder)
    eyes(record, world, model)  # refuse what does not fit
    policy = with_memory(load_policy(folder), record.extra)
    keys = tuple(observed_now(record.observation_space))  # type: ignore[arg-type]
    return RankedPolicy(name, policy, origin, record.obs_mode == "decoded", keys)
