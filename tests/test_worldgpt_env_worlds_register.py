"""A user's own world: registered once, then opened by name like the others."""

from __future__ import annotations

import numpy as np
import pytest

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality, VectorSpec
from worldgpt_env.worlds import World, make_world, register_world, world_names
from worldgpt_env.worlds.world import Observation


class Counter(World):
    """Counts its steps and ends at three."""

    world_name = "counter-of-the-register-test"
    options = ("start",)

    def __init__(self, start: int = 0) -> None:
        """Count from ``start``."""
        self._start = start
        self._declare({Modality.VECTOR: VectorSpec(("count",), (0.0,), (3.0,))}, ("on",), None)

    def _reset(self) -> tuple[Observation, str]:
        self._count = self._start
        return {"vector": np.float32([self._count])}, ""

    def _step(self, action: int) -> tuple[Observation, float, bool, bool, str]:
        self._count += 1
        return {"vector": np.float32([self._count])}, 1.0, self._count == 3, False, ""


def test_a_registered_world_opens_by_name_with_its_options() -> None:
    register_world(Counter)
    register_world(Counter)  # twice the same is harmless
    assert Counter.world_name in world_names()
    world = make_world(Counter.world_name, start=2)
    observation, _ = world.reset(seed=0)
    assert observation in world.observation_space and observation["vector"][0] == 2
    assert world.step(0)[2] is True
    with pytest.raises(ConfigurationError, match="no option"):
        make_world(Counter.world_name, speed=1)


def test_names_are_taken_once_and_are_words() -> None:
    taken = type("Other", (Counter,), {"world_name": "doorkey"})
    with pytest.raises(ConfigurationError, match="already"):
        register_world(taken)
    with pytest.raises(ConfigurationError, match="letters"):
        register_world(type("Bad", (Counter,), {"world_name": "../x"}))
    with pytest.raises(ConfigurationError, match="derive"):
        register_world(int)  # type: ignore[arg-type]
