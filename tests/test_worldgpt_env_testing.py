"""The contract checks: they pass what is right and name what is wrong."""

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from tiny_world import ACTIONS, TinyWorld, build_model, build_start_states

from worldgpt_env.errors import ContractError
from worldgpt_env.model import WorldGPT
from worldgpt_env.start_states import StartStates
from worldgpt_env.testing import check_dream, check_model, check_world


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0}])
def test_our_own_models_and_dreams_pass(action: str, settings: dict[str, Any]) -> None:
    model = build_model(action, **settings)
    check_model(model)
    states = build_start_states(model)
    for mode in ("latent", "decoded"):
        check_dream(gym.make("WorldGPT-v0", model=model, start_states=states, obs_mode=mode))


def test_a_good_world_passes() -> None:
    check_world(TinyWorld())


class Reused(TinyWorld):
    """Returns the same arrays again and again."""

    def _moment(self) -> Any:
        observation, text = super()._moment()
        if not hasattr(self, "_kept"):
            self._kept = {key: value.copy() for key, value in observation.items()}
        for key, value in observation.items():
            self._kept[key][...] = value
        return dict(self._kept), text


class Wide(TinyWorld):
    """Returns float64 numbers."""

    def _moment(self) -> Any:
        observation, text = super()._moment()
        return observation | {"vector": observation["vector"].astype(np.float64)}, text


class Dark(TinyWorld):
    """Ends with a black image."""

    def _step(self, action: int) -> Any:
        observation, reward, terminated, truncated, text = super()._step(action)
        if terminated or truncated:
            observation["image"] = np.zeros_like(observation["image"])
        return observation, reward, terminated, truncated, text


class Both(TinyWorld):
    """Sets both flags at the end."""

    def _step(self, action: int) -> Any:
        observation, reward, terminated, _, text = super()._step(action)
        return observation, reward, terminated, terminated, text


class Mumbling(TinyWorld):
    """Says something else than it writes."""

    def _step(self, action: int) -> Any:
        return *super()._step(action)[:4], "the key"


class Endless(TinyWorld):
    """Goes on after the end."""

    def step(self, action: int) -> Any:
        self._phase = "running"
        return super().step(action)


class Unseeded(TinyWorld):
    """Ignores its seed."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(
            seed=None if seed is None else int(np.random.default_rng().integers(1e9))
        )


@pytest.mark.parametrize(
    "world, words",
    [
        (Reused, "same arrays|of the step before"),
        (Wide, "outside its space"),
        (Dark, "black"),
        (Both, "terminated and truncated at once"),
        (Mumbling, "not the sentence"),
        (Endless, r"step\(\) after the end is not refused"),
        (Unseeded, "two observations"),
    ],
)
def test_broken_worlds_are_named(world: type[TinyWorld], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        check_world(world())


def test_a_world_without_specs_is_named() -> None:
    with pytest.raises(ContractError, match="no attribute 'specs'"):
        check_world(gym.make("CartPole-v1"))


def test_a_model_whose_rows_lean_on_each_other_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model()
    head = model.dynamics.outcome.reward_head
    forward = head.forward
    monkeypatch.setattr(head, "forward", lambda hidden: forward(hidden - hidden.mean(0)))
    with pytest.raises(ContractError, match="depends on the rows beside it"):
        check_model(model)


def test_latents_outside_their_range_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model()
    latent = model.latent
    monkeypatch.setattr(model, "latent", lambda state: {m: 2 * v for m, v in latent(state).items()})
    with pytest.raises(ContractError, match=r"latent leaves \[-1, 1\]"):
        check_model(model)


def test_a_dream_that_is_not_repeated_is_named(
    tiny_model: WorldGPT, start_states: StartStates, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = gym.make("WorldGPT-v0", model=tiny_model, start_states=start_states)
    engine = env.unwrapped.simulator._imagination
    step, draw = engine.step, np.random.default_rng()

    def noisy(*arguments: Any) -> Any:
        prediction = step(*arguments)
        shift = torch.tensor(draw.random(1), dtype=torch.float32)
        return dataclasses.replace(prediction, rewards=prediction.rewards + shift)

    monkeypatch.setattr(engine, "step", noisy)
    with pytest.raises(ContractError, match="refuses the dream"):
        check_dream(env)


def test_only_dreams_are_dreams() -> None:
    with pytest.raises(ContractError, match="no dream"):
        check_dream(gym.make("CartPole-v1"))
