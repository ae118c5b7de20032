"""A world that is known by heart, a model of it that can be trusted, and ten ways to break that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from worldgpt_env.model.modalities import Modality, TextSpec, VectorSpec
from worldgpt_env.training.trust import RankedPolicy, TrustedWorld, WorldStep
from worldgpt_env.worlds import World

PLACES, SLIPPERY = 9, 7  # the last place pays and ends; from the seventh on steps may fail
SLIP = 0.5
NAMES = tuple(f"p{place}" for place in range(PLACES))
TEXT = TextSpec.of(list(NAMES), 1)
IDS = np.array([TEXT.encode(name) for name in NAMES])


def observed(place: np.ndarray) -> dict[str, np.ndarray]:
    """Return the number and the name of each place ``(B,)``."""
    return {"text": IDS[place], "vector": place[:, None].astype(np.float32)}


class LineWorld(World):
    """Nine places in a row; the last pays 1 and ends; every step costs a little.

    On the last places before it half of the steps fail.
    """

    world_name = "line"
    options = ()

    def __init__(self) -> None:
        specs = {Modality.TEXT: TEXT, Modality.VECTOR: VectorSpec(("place",), (0.0,), (8.0,))}
        self._declare(specs, ("left", "right"), None)

    def _reset(self) -> tuple[dict[str, np.ndarray], str]:
        self.place, self.time = int(self.np_random.integers(0, SLIPPERY)), 0
        return self._observe()

    def _step(self, action: int) -> tuple[dict[str, np.ndarray], float, bool, bool, str]:
        failed = self.place >= SLIPPERY - 1 and self.np_random.random() < SLIP
        if not failed:
            self.place = max(self.place + 2 * action - 1, 0)
        self.time += 1
        ended = self.place == PLACES - 1
        observation, text = self._observe()
        return observation, float(ended) - 0.02, ended, not ended and self.time == 30, text

    def _observe(self) -> tuple[dict[str, np.ndarray], str]:
        seen = observed(np.array([self.place]))
        return {key: value[0] for key, value in seen.items()}, NAMES[self.place]


class LineModel(TrustedWorld):
    """The same rules over rows; it doubts where steps may fail and what it cannot read."""

    def reset(self, observations: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
        place = np.clip(np.round(observations["vector"][:, 0]), 0, PLACES - 1).astype(int)
        agrees = (observed(place)["text"] == observations["text"]).all(1)
        whole = np.abs(observations["vector"][:, 0] - place) < 1e-6
        strange = np.where(agrees & whole, 0.0, 1.0)
        return {"place": place, "strange": strange, "draw": np.random.default_rng(seed)}

    def step(self, state: dict[str, Any], actions: np.ndarray) -> WorldStep:
        place, risky = state["place"], state["place"] >= SLIPPERY - 1
        failed = risky & (state["draw"].random(len(place)) < SLIP)
        moved = np.clip(place + 2 * actions - 1, 0, PLACES - 1)
        next_place = np.where(failed, place, moved)
        ended = next_place == PLACES - 1
        chance = np.where(moved == PLACES - 1, np.where(risky, 1 - SLIP, 1.0), 0.0)
        doubt = 0.5 * risky + state["strange"]
        return WorldStep(
            state | {"place": next_place},
            ended - 0.02,
            ended,
            chance,
            doubt,
            1 - state["strange"],
            chance - 0.02,
        )

    def observe(self, state: dict[str, Any]) -> dict[str, np.ndarray]:
        return observed(state["place"])

    def impossible(self, observations: dict[str, np.ndarray]) -> np.ndarray:
        place = np.round(observations["vector"][:, 0]).astype(int)
        return (observed(np.clip(place, 0, PLACES - 1))["text"] != observations["text"]).any(1)


class Hesitant:
    """Goes right, except with some chance of going left."""

    def __init__(self, left: float, seed: int) -> None:
        self.left, self.draw = left, np.random.default_rng(seed)

    def predict(
        self,
        observation: dict[str, np.ndarray],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        rows = len(observation["vector"])
        return (self.draw.random(rows) >= self.left).astype(np.int64), state


def hesitant_policies() -> list[RankedPolicy]:
    """Return twelve policies, from one that never gets anywhere to the best."""
    return [
        RankedPolicy(f"left {left:.2f}", Hesitant(left, number))
        for number, left in enumerate(np.linspace(0, 0.9, 12))
    ]


class Broken(LineModel):
    """The model with one thing broken, by name."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def step(self, state: dict[str, Any], actions: np.ndarray) -> WorldStep:
        if self.kind == "ignores actions":
            actions = np.ones_like(actions)
        if self.kind == "mirrors actions":
            actions = 1 - actions
        step, rows = super().step(state, actions), len(actions)
        if self.kind == "never changes":
            step = replace(
                step, state=state, ended=np.zeros(rows, bool), reward=np.full(rows, -0.02)
            )
        return replace(step, **self._changes(step, state["draw"]))

    def _changes(self, step: WorldStep, draw: np.random.Generator) -> dict[str, Any]:
        rows = len(step.ended)
        nowhere = step.state | {"place": draw.integers(0, PLACES - 1, rows)}
        told: dict[str, dict[str, Any]] = {
            "teleports": {"state": nowhere},
            "rewards permuted": {
                "reward": draw.permutation(step.reward),
                "expected_reward": draw.permutation(step.expected_reward),
            },
            "rewards doubled": {
                "reward": 2 * step.reward,
                "expected_reward": 2 * step.expected_reward,
            },
            "never ends": {"ended": np.zeros(rows, bool), "end_probability": np.zeros(rows)},
            "ends at random": {
                "ended": draw.random(rows) < 0.2,
                "end_probability": np.full(rows, 0.2),
            },
            "always sure": {"uncertainty": np.zeros(rows)},
            "doubts at random": {"uncertainty": draw.random(rows)},
        }
        return told.get(self.kind, {})


BREAKAGES = (
    "ignores actions",
    "mirrors actions",
    "never changes",
    "teleports",
    "rewards permuted",
    "rewards doubled",
    "never ends",
    "ends at random",
    "always sure",
    "doubts at random",
)
