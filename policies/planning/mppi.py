"""MPPI: model predictive path integral control, every candidate weighed by what it is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldgpt_env.model import WorldGPT
from worldgpt_env.simulator import SimulatorConfig

from .planner import Planner, PlannerConfig
from .rollout import Value
from .sequences import Sequences, sequences_of


@dataclass(frozen=True)
class MPPIConfig(PlannerConfig):
    """How MPPI searches.

    Attributes:
        iterations: how often all candidates are drawn and weighed.
        temperature: of the weights, in standard deviations of the scores: near 0 the best
            candidate alone counts, far above 1 all count alike.
        trust: how closely the search begins at the plan of before, from 0 to 1.
    """

    iterations: int = 2
    temperature: float = 0.2
    trust: float = 0.5

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        super().__post_init__()
        whole = "a number from 1"
        self._need("iterations", lambda value: isinstance(value, int) and value >= 1, whole)
        self._need("temperature", lambda value: value > 0, "a number above 0")
        self._need("trust", lambda value: 0 <= value <= 1, "a number from 0 to 1")


class MPPI(Planner):
    """Weighs all candidates by the exponential of their scores (Williams, Aldrich, Theodorou 2015).

    The plan is the weighted mean of actions that are numbers, and the likeliest choice of each
    moment otherwise. The spread of the search does not narrow.
    """

    config_class = MPPIConfig
    config: MPPIConfig

    def __init__(
        self,
        model: WorldGPT | str,
        config: MPPIConfig | None = None,
        *,
        value: Value | None = None,
        dream: SimulatorConfig | None = None,
    ) -> None:
        """See :class:`Planner`."""
        super().__init__(model, config, value=value, dream=dream)
        self.iterations = self.config.iterations

    def _start(self, kept: np.ndarray | None) -> Sequences:
        widest = sequences_of(self.model.action_spec, self.config.horizon, narrowing=False)
        return widest if kept is None else widest.around(kept, self.config.trust)

    def _improve(self, proposal: Sequences, sequences: np.ndarray, scores: np.ndarray) -> Sequences:
        if scores.max() == scores.min():
            return proposal
        weights = np.exp((scores - scores.max()) / (self.config.temperature * scores.std()))
        return proposal.fitted(sequences, weights / weights.sum(), 0.0)

    def _decide(self, proposal: Sequences, best: np.ndarray) -> np.ndarray:
        return proposal.middle()
