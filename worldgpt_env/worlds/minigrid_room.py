"""What the MiniGrid worlds share: a game that is drawn whole, told in words, and won or lost."""

from __future__ import annotations

from typing import Any

import numpy as np

from .minigrid_drawing import RENDER_TILE, draw_grid
from .world import Observation, World


class MiniGridRoom(World):
    """A MiniGrid game whose reward is 1 for success and 0 else; subclasses set ``_game``."""

    _game: Any  # a MiniGridEnv of the subclass's own

    def _reset(self) -> tuple[Observation, str]:
        self._game.reset(seed=int(self.np_random.integers(2**31)))
        return self._observe()

    def _step(self, action: int) -> tuple[Observation, float, bool, bool, str]:
        _, reward, terminated, truncated, _ = self._game.step(action)
        observation, text = self._observe()
        return observation, float(float(reward) > 0), terminated, truncated and not terminated, text

    def _observe(self) -> tuple[Observation, str]:
        """Return the observation now and its sentence."""
        raise NotImplementedError

    def render(self) -> np.ndarray | None:
        """Return the whole grid, ``(64*size, 64*size, 3)`` uint8, or None without a render mode."""
        return draw_grid(self._game, RENDER_TILE) if self.render_mode else None
