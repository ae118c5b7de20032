"""Impossible: rules by which a world tells that an imagined observation cannot be."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from worldgpt_env.worlds.minigrid_drawing import TILE

CARRYING = "carrying key"


def impossible_doorkey(observations: dict[str, np.ndarray]) -> np.ndarray:
    """Return where a room has not one agent, one door and one key, carried or not, ``(B,)`` bool.

    Every tile counts as the drawn one that it is nearest to.
    """
    from worldgpt_env.worlds.doorkey import WORDS, TextSpec

    tiles, names = _drawn_tiles()
    image = observations["image"].astype(np.float32)
    rows, height, width = image.shape[0], image.shape[1] // TILE, image.shape[2] // TILE
    cells = image.reshape(rows, height, TILE, width, TILE, 3).swapaxes(2, 3)
    cells = cells.reshape(rows, height * width, -1)  # (B, cells, pixels)
    distance = (tiles**2).sum(1) - 2 * cells @ tiles.T  # (B, cells, kinds)
    found = names[distance.argmin(-1)]  # (B, cells)

    def count(word: str) -> np.ndarray:
        return np.array(np.char.count(found, word).sum(1))

    text = TextSpec.of(WORDS, slots=5)
    carried = np.array([CARRYING in text.decode(ids) for ids in observations["text"]])
    return (count("agent") != 1) | (count("door") != 1) | (count("key") + carried != 1)


@lru_cache
def _drawn_tiles() -> tuple[np.ndarray, np.ndarray]:
    """Return all tiles of such a room ``(kinds, pixels)`` float32, and what is on each."""
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import Door, Goal, Key, Wall

    contents: dict[str, Any] = {
        "floor": None,
        "wall": Wall(),
        "goal": Goal(),
        "key": Key("yellow"),
        "open door": Door("yellow", is_open=True),
        "closed door": Door("yellow"),
        "locked door": Door("yellow", is_locked=True),
    }
    drawn: list[tuple[str, Any, int | None]] = [(n, x, None) for n, x in contents.items()]
    drawn += [
        (f"agent {name}", contents[name], direction)
        for name in ("floor", "goal", "open door")
        for direction in range(4)
    ]
    tiles = [Grid.render_tile(content, way, False, TILE).ravel() for _, content, way in drawn]
    return np.array(tiles, np.float32), np.array([name for name, _, _ in drawn])


IMPOSSIBLE: dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]] = {
    "doorkey": impossible_doorkey
}
"""Rules by the name of the world."""
