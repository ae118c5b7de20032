"""MiniGrid games as pictures, the whole grid or a view, and what fills a tile as words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import WorldObj
    from minigrid.minigrid_env import MiniGridEnv

# A codec splits an image into cells of 16x16 pixels. With tiles of 16 pixels, every tile of the
# grid is one cell, so that a cell changes only when its tile does.
TILE = 16
RENDER_TILE = 64
ACTIONS = ("turn left", "turn right", "forward", "pick up", "drop", "toggle", "done")


def draw_grid(game: MiniGridEnv, tile: int) -> np.ndarray:
    """Return the whole grid, ``(rows*tile, columns*tile, 3)`` uint8; a new array every call."""
    image = np.empty((game.height, tile, game.width, tile, 3), np.uint8)
    for number, content in enumerate(game.grid.grid):
        row, column = divmod(number, game.width)
        here = (column, row) == tuple(game.agent_pos)
        direction = game.agent_dir if here else None
        image[row, :, column] = game.grid.render_tile(content, direction, False, tile)
    return image.reshape(game.height * tile, game.width * tile, 3)


def draw_view(view: Grid, visible: np.ndarray, tile: int) -> np.ndarray:
    """Return what an agent sees, itself in the middle of the last row; a new array every call.

    Args:
        view: the tiles before it, as ``gen_obs_grid`` gives them.
        visible: ``(columns, rows)`` bool; what it cannot see is black.
        tile: pixels of one.

    Returns:
        ``(rows*tile, columns*tile, 3)`` uint8.
    """
    image = np.zeros((view.height, tile, view.width, tile, 3), np.uint8)
    agent = (view.width // 2, view.height - 1)
    for column, row in np.argwhere(visible).tolist():
        direction = 3 if (column, row) == agent else None  # it looks up
        drawn = view.render_tile(view.get(column, row), direction, True, tile)
        image[row, :, column] = drawn
    return image.reshape(view.height * tile, view.width * tile, 3)


def without_wall(image: np.ndarray, tile: int = TILE) -> np.ndarray:
    """Return the picture without the wall around it, which never changes; a new array."""
    return image[tile:-tile, tile:-tile].copy()


def thing(content: WorldObj | None) -> str:
    """Return the words for what fills a tile or is carried: "red ball", "wall" or "nothing"."""
    if content is None:
        return "nothing"
    return "wall" if content.type == "wall" else f"{content.color} {content.type}"
