"""MiniGrid DoorKey: fetch the key, open the door, reach the goal; image and words."""

from __future__ import annotations

from typing import Any

from worldgpt_env.model.modalities import ImageSpec, Modality, ModalitySpec, TextSpec

from ..errors import ConfigurationError, MissingDependencyError
from .minigrid_drawing import ACTIONS, TILE, draw_grid, without_wall
from .minigrid_room import MiniGridRoom
from .world import Observation

try:
    from minigrid.core.world_object import Door
    from minigrid.envs.doorkey import DoorKeyEnv
except ImportError as error:
    raise MissingDependencyError(
        'world "doorkey" needs MiniGrid; type: pip install "worldgpt-env[minigrid]"'
    ) from error

SIZE = 5
WORDS = ["goal", "carrying", "nothing", "key", "door", "locked", "closed", "open"]


class DoorKeyWorld(MiniGridRoom):
    """A room cut by a wall with a locked door; the key lies on the agent's side.

    | modality | shape, dtype | content |
    |---|---|---|
    | ``image`` | (48, 48, 3) uint8 | the 5x5 room from above, 16x16 pixels a tile |
    | ``text`` | (5,) int64 | the mission and the state: "goal carrying key door open" |

    Reward is 1.0 when the goal is reached and 0.0 otherwise: MiniGrid's own discount by elapsed
    time depends on a clock that no observation shows. 250 steps without success are a time limit
    (``truncated``).

    Args:
        size: tiles of a side, the wall included: 5, or 6 and 8 as MiniGrid's larger rooms; the
            image is ``16 * (size - 2)`` pixels wide.
        max_steps: the time limit.
        outer_wall: show the wall around the room too. It never changes; with it the image is
            (80, 80, 3), almost three times the cells.
        render_mode: ``"rgb_array"`` or None.
    """

    world_name = "doorkey"
    options = ("size", "max_steps", "outer_wall", "render_mode")

    def __init__(
        self,
        size: int = SIZE,
        max_steps: int = 250,
        outer_wall: bool = False,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Build the room; nothing runs before ``reset``."""
        if max_steps < 1:
            raise ConfigurationError(f"max_steps is {max_steps}; give at least one step.")
        if size < SIZE:
            raise ConfigurationError(f"size is {size}; a room has at least {SIZE} tiles a side.")
        self._game = _Room(size=size, max_steps=max_steps)
        self._text = TextSpec.of(WORDS, slots=5)
        self._walled = outer_wall
        side = TILE * (size if outer_wall else size - 2)
        specs: dict[Modality, ModalitySpec] = {
            Modality.IMAGE: ImageSpec(side, side),
            Modality.TEXT: self._text,
        }
        self._declare(specs, ACTIONS, render_mode)

    def _observe(self) -> tuple[Observation, str]:
        text = self._game.sentence()
        image = draw_grid(self._game, TILE)  # (80, 80, 3) of five tiles
        if not self._walled:
            image = without_wall(image)
        return {"image": image, "text": self._text.encode(text)}, text


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
