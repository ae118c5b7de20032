"""VectorDreamEnv: an imagined episode of a world of numbers, as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model.arguments import (
    MOST_PENALTY,
    check_choice,
    check_number,
    check_whole,
    shown,
)
from worldgpt_env.model.devices import check_device
from worldgpt_env.model.modalities import ActionSpec, Modality
from worldgpt_env.model.vector_dynamics.world_model import VectorWorldModel

from .actions import ActionValidator
from .errors import (
    ClosedEnvironmentError,
    ConfigurationError,
    EpisodeEndedError,
    InvalidOptionError,
    RenderModeError,
    ResetNeededError,
    WorldMismatchError,
)
from .simulator import checked_seeds
from .spaces import action_space, check_observation, decoded_space, parse_modalities

Observation = dict[str, np.ndarray]


class VectorDreamEnv(gym.Env[Observation, Any]):
    """What ``worldgpt dyna --env`` learned: ``gym.make("WorldGPT-v0", model=DIR)`` opens it.

    Spaces are those of the real world. Each episode is imagined by one member of the dynamics,
    drawn at ``reset``; the same seed and actions give the same dream.

    ``info`` has ``uncertainty`` (the share of recorded steps on which the members disagreed less; 1
    where the numbers would leave what was recorded, at whose border they stop), ``consistency``
    (1: there is one modality), ``text`` (``""``) and ``truncated_by`` (``""``, ``"horizon"`` or
    ``"uncertainty"``).

    Args:
        model: folder of the model, as ``runs/cartpole/round-5/model``.
        horizon: imagined steps before truncation; the time limit of the world by default.
        start_states: ``"first"``, ``"visited"`` or ``"mixed"``.
        temperature: 0 takes the most likely change of the numbers, 1 draws it.
        max_uncertainty: a less certain step truncates the episode; never by default.
        uncertainty_penalty: times the uncertainty of a step, taken off its reward.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(
        self,
        model: VectorWorldModel | str | Path,
        *,
        horizon: int | None = None,
        start_states: str = "first",
        temperature: float = 1.0,
        max_uncertainty: float | None = None,
        uncertainty_penalty: float = 0.0,
        render_mode: str | None = None,
        **foreign: Any,
    ) -> None:
        """Open the model; the first :meth:`reset` begins a dream."""
        _refuse_foreign(foreign, render_mode)
        check_choice("start_states", start_states, ("first", "visited", "mixed"))
        if check_number("temperature", temperature) not in (0, 1):
            raise ConfigurationError(f"temperature is {shown(temperature)}; use 0 or 1 here.")
        self.model = model if isinstance(model, VectorWorldModel) else VectorWorldModel.load(model)
        given = self.model.horizon if horizon is None else horizon
        self.horizon = check_whole("horizon", given)
        self._starts = self._chosen(start_states)
        self._drawn = bool(temperature)
        self._most = (
            None if max_uncertainty is None else check_number("max_uncertainty", max_uncertainty)
        )
        self._penalty = check_number("uncertainty_penalty", uncertainty_penalty, 0.0, MOST_PENALTY)
        specs = {Modality.VECTOR: self.model.spec}
        self.observation_space = decoded_space(specs)  # type: ignore[assignment]
        self.action_space = action_space(self.model.action_spec)
        self.render_mode = render_mode
        self._imaginer = self.model.dynamics.imaginer()
        self._validator, self._encoder = ActionValidator(self.action_spec), self.model.encoder
        self._generator = torch.Generator()
        self._state: Tensor | None = None
        self._member, self._age, self._ended, self._closed = 0, 0, False, False

    @property
    def action_spec(self) -> ActionSpec:
        """What an agent may do, as in the real world."""
        return self.model.action_spec

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode in a real state.

        Args:
            seed: a whole number from 0.
            options: ``{"index": 3}``, the start state of this number, or ``{"observation": obs}``.

        Raises:
            InvalidSeedError: ``seed`` is something else.
            InvalidOptionError: ``options`` are not understood.
        """
        self._need_open("reset")
        seed = None if seed is None else checked_seeds([seed])[0]
        asked = self._asked(options)  # before anything is drawn
        super().reset(seed=seed)
        self._generator.manual_seed(int(self.np_random.integers(2**63)))
        members = len(self._imaginer.elites)
        self._member = int(torch.randint(members, (), generator=self._generator))
        index = int(torch.randint(len(self._starts), (), generator=self._generator))
        if isinstance(asked, Tensor):
            index, self._state = -1, asked
        else:
            index = index if asked is None else asked
            self._state = self._starts[index]
        self._age, self._ended = 0, False
        return self._see(), {**_info(0.0, ""), "start_index": index}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Imagine one step.

        Raises:
            InvalidActionError: ``action`` is not in the action space.
            ResetNeededError: before ``reset``, or (``EpisodeEndedError``) after the end.
            ClosedEnvironmentError: after ``close``.
        """
        state = self._running()
        encoded = self._encoder(self._validator.one(action))  # (1, A)
        members = len(self._imaginer.elites)
        step = self._imaginer.step(
            state.expand(members, 1, -1),
            encoded.expand(members, 1, -1),
            self._generator if self._drawn else None,
        )
        left = bool(step.outside[self._member, 0])  # what was recorded: nothing is known there
        uncertainty = 1.0 if left else float(self.model.uncertainty(state[None], encoded))
        self._state = step.next_states[self._member, 0]
        self._age += 1
        terminated, cut = bool(step.terminated[self._member, 0]), ""
        if not terminated and self._most is not None and uncertainty > self._most:
            cut = "uncertainty"
        elif not terminated and self._age >= self.horizon:
            cut = "horizon"
        self._ended = terminated or bool(cut)
        reward = float(step.rewards[self._member, 0]) - self._penalty * uncertainty
        return self._see(), reward, terminated, bool(cut), _info(uncertainty, cut)

    def fork(self) -> VectorDreamEnv:
        """Return a copy that dreams on from here by itself; the model is shared."""
        settings = {"horizon": self.horizon, "temperature": int(self._drawn)}
        copied = VectorDreamEnv(
            self.model,
            **settings,  # type: ignore[arg-type]
            max_uncertainty=self._most,
            uncertainty_penalty=self._penalty,
        )
        copied._starts = self._starts
        copied.set_state(self.get_state())
        return copied

    def get_state(self) -> dict[str, Tensor]:
        """Return all that the rest of the dream depends on, for :meth:`set_state`."""
        if self._state is None:
            raise ResetNeededError("get_state() came before reset(); call reset() first.")
        counters = torch.tensor([self._member, self._age, int(self._ended)])
        return {
            "state": self._state.clone(),
            "counters": counters,
            "generator": self._generator.get_state(),
        }

    def set_state(self, state: Mapping[str, Tensor]) -> Observation:
        """Go on where :meth:`get_state` was called, and return the observation there."""
        self._need_open("set_state")
        self._check_state(state)
        self._state = state["state"].detach().clone()
        self._member, self._age, ended = (int(value) for value in state["counters"])
        self._ended = bool(ended)
        self._generator.set_state(state["generator"])
        return self._see()

    def close(self) -> None:
        """Refuse further use; safe to call twice."""
        self._closed = True

    def _check_state(self, state: Any) -> None:
        """Refuse what is no state of this dream."""
        forms = {
            "state": (torch.Size([self.model.dynamics.state_size]), torch.float32),
            "counters": (torch.Size([3]), torch.int64),
            "generator": (self._generator.get_state().shape, torch.uint8),
        }
        given = dict(state) if isinstance(state, Mapping) else {}
        found = {n: (t.shape, t.dtype) for n, t in given.items() if isinstance(t, Tensor)}
        if found != forms or len(given) != len(forms):
            raise WorldMismatchError("the state is of another dream; pass one of get_state().")
        member, age, ended = given["counters"].tolist()
        whole = 0 <= member < len(self._imaginer.elites) and age >= 0 and ended in (0, 1)
        if not whole or not torch.isfinite(given["state"]).all():
            raise WorldMismatchError("the state is none of this dream; pass one of get_state().")

    def _chosen(self, start_states: str) -> Tensor:
        first, visited = self.model.first, self.model.visited
        return {"first": first, "visited": visited, "mixed": torch.cat([first, visited])}[
            start_states
        ]

    def _asked(self, options: Any) -> int | Tensor | None:
        """Return the number of the start state that ``options`` ask for, or a state ``(D,)``."""
        if options is None or (isinstance(options, Mapping) and not options):
            return None
        if isinstance(options, Mapping) and set(options) == {"observation"}:
            specs = {Modality.VECTOR: self.model.spec}
            given = check_observation(options["observation"], specs, 1)[Modality.VECTOR]
            return torch.from_numpy(given.reshape(-1).copy())
        index = options["index"] if isinstance(options, Mapping) and "index" in options else None
        whole = isinstance(index, int | np.integer) and not isinstance(index, bool)
        if not whole or len(options) > 1 or not 0 <= index < len(self._starts):  # type: ignore[operator]
            raise InvalidOptionError(
                f"options {shown(options)} are not understood; pass "
                f'{{"index": a number from 0 to {len(self._starts) - 1}}} or '
                '{"observation": {"vector": ...}}.'
            )
        return int(index)  # type: ignore[arg-type]

    def _see(self) -> Observation:
        assert self._state is not None
        return {"vector": self._state.numpy().copy()}

    def _running(self) -> Tensor:
        self._need_open("step")
        if self._state is None:
            raise ResetNeededError("step() came before reset(); call reset() first.")
        if self._ended:
            raise EpisodeEndedError("step() came after the end of the episode; call reset() first.")
        return self._state

    def _need_open(self, what: str) -> None:
        if self._closed:
            raise ClosedEnvironmentError(
                f'{what}() after close(): open the world again with gym.make("WorldGPT-v0").'
            )


def _info(uncertainty: float, cut: str) -> dict[str, Any]:
    return {"uncertainty": uncertainty, "consistency": 1.0, "text": "", "truncated_by": cut}


def _refuse_foreign(arguments: Mapping[str, Any], render_mode: str | None) -> None:
    """Refuse arguments of ``WorldGPT-v0`` that a dream of numbers has no use for."""
    if render_mode is not None:
        raise RenderModeError(
            "a dream of numbers has no picture; leave render_mode out, or render the real world."
        )
    usual = {
        "modalities": lambda value: parse_modalities(value) == (Modality.VECTOR,),
        "obs_mode": lambda value: isinstance(value, str) and value == "decoded",
        "device": lambda value: check_device(value).type == "cpu",
    }
    for name, value in arguments.items():
        if value is not None and not (name in usual and usual[name](value)):
            raise ConfigurationError(
                f"{name}={shown(value)} does not belong to a dream of numbers; leave {name} out."
            )
