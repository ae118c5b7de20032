"""MiniGrid Memory: go to the thing that was seen at the start; a partial view and words."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldgpt_env.model.modalities import ImageSpec, Modality, ModalitySpec, TextSpec

from ..errors import ConfigurationError, MissingDependencyError
from .minigrid_drawing import ACTIONS, TILE, draw_view, thing
from .minigrid_room import MiniGridRoom
from .world import Observation

try:
    from minigrid.core.grid import Grid
    from minigrid.envs.memory import MemoryEnv
except ImportError as error:
    raise MissingDependencyError(
        'world "minigrid-memory" needs MiniGrid; type: pip install "worldgpt-env[minigrid]"'
    ) from error

SIZES = (7, 9, 11, 13, 17)
VIEW = 7
USED = ACTIONS[:3]  # nothing has to be carried or opened
WORDS = ("facing", "sees", "nothing", "wall", "green", "key", "ball", "left", "right", "ahead")
SLOTS = 10  # "facing green key sees key left ball left key right"


class MinigridMemoryWorld(MiniGridRoom):
    """A thing beside the start, a corridor, and two things at its end: which was it?

    The agent sees the 7x7 tiles before it, not through walls. A key or a ball lies in the first
    room; where the corridor forks there are both, out of sight of the first, and the way to the
    same one pays.

    | modality | shape, dtype | content |
    |---|---|---|
    | ``image`` | (112, 112, 3) uint8 | what the agent sees, itself in the middle of the last row |
    | ``text`` | (10,) int64 | the tile before it and things in view: "facing wall sees key left" |

    Reward is 1.0 at the same thing and 0.0 at the other one, which ends the episode too:
    MiniGrid's own discount by elapsed time depends on a clock that no observation shows.
    ``5 * size**2`` steps without either are a time limit (``truncated``).

    Args:
        size: tiles of a side, the wall included: 7, 9, 11, 13 or 17.
        near_start: begin beside the first thing, with it in view, instead of anywhere between it
            and the fork; no episode then asks for a look back.
        max_steps: the time limit.
        render_mode: ``"rgb_array"`` or None.
    """

    world_name = "minigrid-memory"
    options = ("size", "near_start", "max_steps", "render_mode")

    def __init__(
        self,
        size: int = 7,
        near_start: bool = False,
        max_steps: int | None = None,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Build the rooms; nothing runs before ``reset``."""
        if size not in SIZES:
            raise ConfigurationError(f"size is {size}; use one of {', '.join(map(str, SIZES))}.")
        if max_steps is not None and max_steps < 1:
            raise ConfigurationError(f"max_steps is {max_steps}; give at least one step.")
        self._game = _Rooms(size, near_start, max_steps)
        self._text = TextSpec.of(list(WORDS), SLOTS, ordered=True)
        specs: dict[Modality, ModalitySpec] = {
            Modality.IMAGE: ImageSpec(VIEW * TILE, VIEW * TILE),
            Modality.TEXT: self._text,
        }
        self._declare(specs, USED, render_mode)

    def _observe(self) -> tuple[Observation, str]:
        view, visible = self._game.gen_obs_grid(VIEW)
        text = self._game.sentence(view, visible)
        return {"image": draw_view(view, visible, TILE), "text": self._text.encode(text)}, text


class _Rooms(MemoryEnv):
    """Memory that leaves it to the world to draw what is seen."""

    def __init__(self, size: int, near_start: bool, max_steps: int | None) -> None:
        self.near_start = near_start
        super().__init__(size=size, max_steps=max_steps)

    def _gen_grid(self, width: int, height: int) -> None:
        super()._gen_grid(width, height)
        if self.near_start:
            self.agent_pos = np.array((1, height // 2))  # the thing is on its left

    def gen_obs(self) -> dict[str, Any]:
        """Return nothing: the world draws its own observation."""
        return {}

    def sentence(self, view: Grid, visible: np.ndarray) -> str:
        """Return in words what is before the agent and the things in view, the nearest first."""
        words = []
        for row in reversed(range(view.height)):
            for column in range(view.width):
                content = view.get(column, row)
                if content is not None and content.type in ("key", "ball") and visible[column, row]:
                    side = int(np.sign(column - VIEW // 2))
                    words.append(f"{content.type} {('ahead', 'right', 'left')[side]}")
        seen = " ".join(words) or "nothing"
        return f"facing {thing(view.get(VIEW // 2, VIEW - 2))} sees {seen}"
