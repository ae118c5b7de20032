"""LearnedWorld: a WorldGPT as the trust card asks it, played as its simulator plays it."""

from __future__ import annotations

import numpy as np

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import Prediction
from worldgpt_env.model.bounds import HORIZON
from worldgpt_env.simulator import Simulator, SimulatorConfig, SimulatorStep
from worldgpt_env.wrappers import encode_latent

from .impossible import IMPOSSIBLE
from .protocol import Observation, TrustedWorld, WorldStep


class LearnedWorld(TrustedWorld):
    """Dreams of ``model`` from real observations, without a horizon; agents see its latents.

    Args:
        model: ready to imagine.
        temperature: of the dreams; the model's own by default.
    """

    def __init__(self, model: WorldGPT, temperature: float | None = None) -> None:
        """See the class."""
        self.model = model
        self.config = SimulatorConfig(
            "latent", tuple(model.specs), horizon=HORIZON, temperature=temperature
        )

    def reset(self, observations: Observation, seed: int) -> _TellingSimulator:
        """Return a simulator with a row per observation."""
        rows = len(next(iter(observations.values())))
        simulator = _TellingSimulator(self.model, rows, self.config)
        simulator.reset(seeds=range(seed, seed + rows), options={"observation": observations})
        return simulator

    def step(self, state: _TellingSimulator, actions: np.ndarray) -> WorldStep:
        """Step the simulator."""
        step = state.step(actions)
        return WorldStep(
            state,
            step.reward,
            step.terminated,
            state.end_probability,
            step.uncertainty,
            step.consistency if len(self.model.specs) > 1 else None,
            state.expected_reward,
        )

    def correct(
        self, state: _TellingSimulator, observations: Observation, seed: int
    ) -> _TellingSimulator:
        """Put real observations into the rows, which go on."""
        state.correct(self.model.encode(observations))
        return state

    def observe(self, state: _TellingSimulator) -> Observation:
        """Return the latents of all modalities."""
        return state.observe()

    def see(self, observations: Observation) -> Observation:
        """Return the latents of real observations."""
        return encode_latent(self.model, observations)

    def decode(self, state: _TellingSimulator) -> Observation:
        """Return all modalities, decoded."""
        return state.raw()

    def impossible(self, observations: Observation) -> np.ndarray | None:
        """Ask the rules of the world, where some are written down."""
        rule = IMPOSSIBLE.get(self.model.config.world)
        return rule(observations) if rule else None


class _TellingSimulator(Simulator):
    """A simulator that also tells the chance of the end and the mean reward of its last step."""

    end_probability: np.ndarray  # (N,) float32
    expected_reward: np.ndarray  # (N,) float32

    def _apply(self, prediction: Prediction, live: np.ndarray) -> SimulatorStep:
        chance, rewards = (x.cpu().numpy() for x in (prediction.termination, prediction.rewards))
        self.end_probability = chance
        self.expected_reward = (1 - chance) * rewards[:, 0] + chance * rewards[:, 1]
        return super()._apply(prediction, live)
