"""BabyAI with missions of two parts: fetch or go to two things in a room; image and words."""

from __future__ import annotations

from typing import Any

from worldgpt_env.model.modalities import ImageSpec, Modality, ModalitySpec, TextSpec

from ..errors import ConfigurationError, MissingDependencyError
from .minigrid_drawing import ACTIONS, TILE, draw_grid, thing, without_wall
from .minigrid_room import MiniGridRoom
from .world import Observation

try:
    from minigrid.core.constants import COLOR_NAMES
    from minigrid.core.roomgrid import RoomGrid
    from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel
    from minigrid.envs.babyai.core.verifier import (
        AfterInstr,
        AndInstr,
        BeforeInstr,
        GoToInstr,
        ObjDesc,
        PickupInstr,
    )
except ImportError as error:
    raise MissingDependencyError(
        'world "babyai-two" needs MiniGrid; type: pip install "worldgpt-env[minigrid]"'
    ) from error

# "A then B", "A and B", "A after you B"
JOINTS: tuple[Any, ...] = (BeforeInstr, AndInstr, AfterInstr)
VERBS: tuple[Any, ...] = (GoToInstr, PickupInstr)
WORDS = (
    *("go to the pick up then and after you facing carrying wall nothing".split()),
    *("ball", "box", "key", *COLOR_NAMES),
)
SLOTS = 18  # 12 of the longest mission, and "facing red ball carrying blue key"


class BabyAITwoWorld(MiniGridRoom):
    """A room with some things in it and a mission of two parts, in the words of BabyAI.

    | modality | shape, dtype | content |
    |---|---|---|
    | ``image`` | (64, 64, 3) uint8 | the room from above, 16x16 pixels a tile |
    | ``text`` | (18,) int64 | the mission and the state |

    The words are "go to the red ball then pick up the blue key facing wall carrying nothing". A
    part is "go to" (stand before the thing and face it) or "pick up" (with empty hands). "A then B"
    and "B after you A" ask for A first, "A and B" for both in any order; nothing shows that a part
    was done, unless ``progress`` is set. Reward is 1.0 when the mission is
    done and 0.0 otherwise; 128 steps without success are a time limit (``truncated``).

    Args:
        size: tiles of a side, the wall included; the image is ``16 * (size - 2)`` pixels wide.
        things: in the room, no two of them alike.
        progress: let the words also tell "done none" or "done one"; the text has 20 slots then.
        max_steps: the time limit.
        render_mode: ``"rgb_array"`` or None.
    """

    world_name = "babyai-two"
    options = ("size", "things", "progress", "max_steps", "render_mode")

    def __init__(
        self,
        size: int = 6,
        things: int = 3,
        progress: bool = False,
        max_steps: int = 128,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Build the room; nothing runs before ``reset``."""
        if max_steps < 1:
            raise ConfigurationError(f"max_steps is {max_steps}; give at least one step.")
        if size < 5:
            raise ConfigurationError(f"size is {size}; a room has at least 5 tiles a side.")
        most = min(18, (size - 2) ** 2 // 3)
        if not 2 <= things <= most:
            raise ConfigurationError(
                f"things is {things}; a room of size {size} holds from 2 to {most}."
            )
        self._game = _Level(size, things, max_steps)
        self._progress = progress
        more = (("done", "none", "one"), 2) if progress else ((), 0)
        self._text = TextSpec.of([*WORDS, *more[0]], SLOTS + more[1], ordered=True)
        side = TILE * (size - 2)
        specs: dict[Modality, ModalitySpec] = {
            Modality.IMAGE: ImageSpec(side, side),
            Modality.TEXT: self._text,
        }
        self._declare(specs, ACTIONS, render_mode)

    def _observe(self) -> tuple[Observation, str]:
        text = self._game.sentence()
        if self._progress:
            text += f" done {'one' if self._game.half_done() else 'none'}"
        image = without_wall(draw_grid(self._game, TILE))
        return {"image": image, "text": self._text.encode(text)}, text


class _Level(RoomGridLevel):
    """One room; two different things of it are asked for."""

    instrs: Any

    def __init__(self, size: int, things: int, max_steps: int) -> None:
        self.things = things
        super().__init__(room_size=size, num_rows=1, num_cols=1, max_steps=max_steps)

    def _gen_grid(self, width: int, height: int) -> None:
        """Build rooms until nothing is out of reach; BabyAI's own loop tells of each on stdout."""
        reachable = False
        while not reachable:
            RoomGrid._gen_grid(self, width, height)
            self.gen_mission()
            reachable = self.check_objs_reachable(raise_exc=False)
        self.surface = self.mission = self.instrs.surface(self)

    def gen_mission(self) -> None:
        """Place the things and the agent, and choose what is asked for."""
        placed = self.add_distractors(num_distractors=self.things, all_unique=True)
        self.place_agent()
        first, second = (
            self._rand_elem(VERBS)(ObjDesc(one.type, one.color))
            for one in self._rand_subset(placed, 2)
        )
        self.instrs = self._rand_elem(JOINTS)(first, second)

    def gen_obs(self) -> dict[str, Any]:
        """Return nothing: the world draws its own observation."""
        return {}

    def sentence(self) -> str:
        """Return mission and state in words."""
        before, held = self.grid.get(*self.front_pos), self.carrying
        mission = self.mission.replace(",", "")
        return f"{mission} facing {thing(before)} carrying {thing(held)}"

    def half_done(self) -> bool:
        """Return whether one of the two parts is done."""
        return "success" in (self.instrs.a_done, self.instrs.b_done)
