"""MiniGrid DoorKey-5x5: fetch the key, open the door, reach the goal; image and words."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldgpt_env.model.modalities import ImageSpec, Modality, ModalitySpec, TextSpec

from ..errors import ConfigurationError, MissingDependencyError
from .world import Observation, World

try:
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import Door
    from minigrid.envs.doorkey import DoorKeyEnv
except ImportError as error:
    raise MissingDependencyError(
        'world "doorkey" needs MiniGrid; type: pip install "worldgpt-env[minigrid]"'
    ) from error

# A codec splits an image into cells of 16x16 pixels. With tiles of 16 pixels, every tile of the
# 5x5 grid is one cell, so that a cell changes only when its tile does.
TILE = 16
RENDER_TILE = 64
SIZE = 5
ACTIONS = ("turn left", "turn right", "forward", "pick up", "drop", "toggle", "done")
WORDS = ["goal", "carrying", "nothing", "key", "door", "locked", "closed", "open"]


class DoorKeyWorld(World):
    """A 5x5 room cut by a wall with a locked door; the key lies on the agent's side.

    | modality | shape, dtype | content |
    |---|---|---|
    | ``image`` | (48, 48, 3) uint8 | the room from above, 16x16 pixels a tile |
    | ``text`` | (5,) int64 | the mission and the state: "goal carrying key door open" |

    Reward is 1.0 when the goal is reached and 0.0 otherwise: MiniGrid's own discount by elapsed
    time depends on a clock that no observation shows. 250 steps without success are a time limit
    (``truncated``).

    Args:
        max_steps: the time limit.
        outer_wall: show the wall around the room too. It never changes; with it the image is
            (80, 80, 3), almost three times the cells.
        render_mode: ``"rgb_array"`` or None.
    """

    world_name = "doorkey"
    options = ("max_steps", "outer_wall", "render_mode")

    def __init__(
        self,
        max_steps: int = 250,
        outer_wall: bool = False,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Build the room; nothing runs before ``reset``."""
        if max_steps < 1:
            raise ConfigurationError(f"max_steps is {max_steps}; give at least one step.")
        self._game = _Room(size=SIZE, max_steps=max_steps)
        self._text = TextSpec.of(WORDS, slots=5)
        self._border = 0 if outer_wall else TILE
        side = TILE * SIZE - 2 * self._border
        specs: dict[Modality, ModalitySpec] = {
            Modality.IMAGE: ImageSpec(side, side),
            Modality.TEXT: self._text,
        }
        self._declare(specs, ACTIONS, render_mode)

    def _reset(self) -> tuple[Observation, str]:
        self._game.reset(seed=int(self.np_random.integers(2**31)))
        return self._observe()

    def _step(self, action: int) -> tuple[Observation, float, bool, bool, str]:
        _, reward, terminated, truncated, _ = self._game.step(action)
        observation, text = self._observe()
        return observation, float(float(reward) > 0), terminated, truncated and not terminated, text

    def _observe(self) -> tuple[Observation, str]:
        text = self._game.sentence()
        image = self._game.draw(TILE)  # (80, 80, 3)
        if self._border:
            image = image[self._border : -self._border, self._border : -self._border].copy()
        return {"image": image, "text": self._text.encode(text)}, text

    def render(self) -> np.ndarray | None:
        """Return the grid, ``(320, 320, 3)`` uint8, or None without a render mode."""
        return self._game.draw(RENDER_TILE) if self.render_mode else None


class _Room(DoorKeyEnv):
    """DoorKey that skips MiniGrid's own partial view, which costs more than the step itself."""

    def gen_obs(self) -> dict[str, Any]:
        """Return nothing: the world draws its own observation."""
        return {}

    def sentence(self) -> str:
        """Return the state in words: what is carried and how the door is."""
        carried = "key" if self.carrying else "nothing"
        door = next(tile for tile in self.grid.grid if isinstance(tile, Door))
        state = "open" if door.is_open else "locked" if door.is_locked else "closed"
        return f"goal carrying {carried} door {state}"

    def draw(self, tile: int) -> np.ndarray:
        """Return the whole grid, ``(rows*tile, columns*tile, 3)`` uint8; a new array every call."""
        image = np.empty((self.height, tile, self.width, tile, 3), np.uint8)
        for number, content in enumerate(self.grid.grid):
            row, column = divmod(number, self.width)
            here = (column, row) == tuple(self.agent_pos)
            direction = self.agent_dir if here else None
            image[row, :, column] = Grid.render_tile(content, direction, False, tile)
        return image.reshape(self.height * tile, self.width * tile, 3)
