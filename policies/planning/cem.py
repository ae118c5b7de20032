"""CEM: the cross-entropy method, which looks where the best candidates were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.simulator import SimulatorConfig

from .planner import Planner, PlannerConfig
from .rollout import Value
from .sequences import Sequences


@dataclass(frozen=True)
class CEMConfig(PlannerConfig):
    """How the cross-entropy method searches.

    Attributes:
        iterations: how often all candidates are drawn, each time nearer to the best.
        elites: the best candidates, to which the next ones are fitted.
        kept: the share of the distribution that stays in an iteration.
    """

    iterations: int = 4
    elites: int = 8
    kept: float = 0.2

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        super().__post_init__()
        for name in ("iterations", "elites"):
            self._need(name, lambda value: isinstance(value, int) and value >= 1, "a number from 1")
        self._need("kept", lambda value: 0 <= value < 1, "a number from 0 and below 1")
        if self.elites > self.candidates:
            raise ConfigurationError(
                f"elites is {self.elites}, of {self.candidates} candidates; use fewer."
            )


class CEM(Planner):
    """Draws candidates, fits a distribution to the elites, and draws again (Rubinstein 1997).

    Categorical in actions that are chosen, Gaussian in actions that are numbers. While all
    candidates are worth the same there is nothing to learn from, and the distribution stays.
    """

    config_class = CEMConfig
    config: CEMConfig

    def __init__(
        self,
        model: WorldGPT | str,
        config: CEMConfig | None = None,
        *,
        value: Value | None = None,
        dream: SimulatorConfig | None = None,
    ) -> None:
        """See :class:`Planner`."""
        super().__init__(model, config, value=value, dream=dream)
        self.iterations = self.config.iterations

    def _improve(self, proposal: Sequences, sequences: np.ndarray, scores: np.ndarray) -> Sequences:
        if scores.max() == scores.min():
            return proposal
        elites = np.argsort(-scores, kind="stable")[: self.config.elites]
        weights = np.full(len(elites), 1 / len(elites))
        return proposal.fitted(sequences[elites], weights, self.config.kept)
