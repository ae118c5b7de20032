"""ImaginedVecEnv: a dream as the vector environment of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnv,
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)
from torch import Tensor

from worldgpt_env.actions import ActionValidator, Phrasebook
from worldgpt_env.errors import (
    ClosedEnvironmentError,
    ConfigurationError,
    InvalidOptionError,
    ResetNeededError,
    WorldMismatchError,
)
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.arguments import check_number, check_whole, shown
from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.model.cognition.memory import MemoryConfig
from worldgpt_env.model.modalities import Modality
from worldgpt_env.simulator import (
    DEFAULT_WORLD,
    KnowledgeConfig,
    Simulator,
    SimulatorConfig,
    SimulatorStep,
    checked_seeds,
    row_of,
)
from worldgpt_env.spaces import action_space
from worldgpt_env.start_states import ResetOptions, StartStates

Observation = dict[str, np.ndarray]


class ImaginedVecEnv(VecEnv):
    """Imagined episodes side by side, one forward pass a step, for any Stable-Baselines3 algorithm.

    A row whose episode ends starts a new one at once, and its last observation is kept in
    ``info["terminal_observation"]``. A dream that is only cut (by the horizon, or because it can no
    longer be trusted) says ``info["TimeLimit.truncated"] = True``, so that the value of its last
    state is estimated and not taken for zero. Every ``info`` has ``uncertainty`` and
    ``consistency``; one that ends an episode also has ``truncated_by`` and, as ``Monitor`` writes
    it, ``episode`` with return ``r`` and length ``l``.

    Args:
        model: name of an embedded world, folder of a model, or a :class:`WorldGPT`.
        num_envs: rows imagined side by side.
        obs_mode: ``"latent"`` (a small vector per modality, fastest) or ``"decoded"`` (raw).
        modalities: those that the agent observes; the model's ``agent_modalities`` by default.
        horizon: imagined steps before truncation; the model's own by default.
        start_states: ``"first"``, ``"visited"``, ``"mixed"``, ``"rewarded"``, a file or folder,
            or StartStates.
        temperature: of the dream; the model's own by default.
        max_uncertainty: a less certain step truncates the episode; never by default.
        uncertainty_penalty: times the uncertainty of a step, taken off its reward.
        memory: past steps that the model reads, see :class:`~worldgpt_env.env.WorldGPTEnv`; for
            what the agent itself remembers there is :class:`~.memory_vec_env.MemoryVecEnv`.
        knowledge: real transitions that the model reads, likewise.
        sentences: in a world with text actions, those that the agent chooses between by number; its
            action space is then ``Discrete(len(sentences))``. By default it writes word ids.
        reward_scale: times every reward that the agent gets; ``info["episode"]`` is not scaled.
        seed: of the first reset; row ``i`` gets ``seed + i``. The same seed gives the same dreams.
        device: where the model computes.

    Example:
        >>> from stable_baselines3 import PPO
        >>> PPO("MultiInputPolicy", ImaginedVecEnv("doorkey"), n_steps=32).learn(100_000)
    """

    def __init__(
        self,
        model: WorldGPT | str | Path = DEFAULT_WORLD,
        num_envs: int = 64,
        obs_mode: str = "latent",
        *,
        modalities: Iterable[Modality | str] | None = None,
        horizon: int | None = None,
        start_states: str | Path | StartStates = "mixed",
        temperature: float | None = None,
        max_uncertainty: float | None = None,
        uncertainty_penalty: float = 0.0,
        memory: str | MemoryConfig | None = None,
        knowledge: str | Path | Knowledge | KnowledgeConfig | None = None,
        sentences: Iterable[str] | None = None,
        reward_scale: float = 1.0,
        seed: int | None = None,
        device: str | None = None,
    ) -> None:
        """Open the model; the first :meth:`reset` begins the dreams."""
        config = SimulatorConfig(
            obs_mode=obs_mode,
            modalities=modalities,
            horizon=horizon,
            start_states=start_states,
            temperature=temperature,
            max_uncertainty=max_uncertainty,
            uncertainty_penalty=uncertainty_penalty,
            memory=memory,
            knowledge=knowledge,
        )
        self.reward_scale = check_reward_scale(reward_scale)
        if seed is not None:
            checked_seeds([seed])
        self.simulator = Simulator(model, num_envs, config, device=device)
        rows = self.simulator.num_envs
        self._returns = np.zeros(rows, np.float64)
        self._lengths = np.zeros(rows, np.int64)
        self._actions: np.ndarray | None = None
        self._closed = False
        spec = self.model.action_spec
        self._book = None if sentences is None else Phrasebook(spec, sentences)
        self._validator = self.simulator.validator
        space = self.simulator.action_space
        if self._book is not None:
            self._validator = ActionValidator(self._book.spec)
            space = action_space(self._book.spec)
        super().__init__(rows, self.simulator.observation_space, space)
        if seed is not None:
            self.seed(seed)

    @property
    def model(self) -> WorldGPT:
        """The world model that is dreamt with."""
        return self.simulator.model

    # episodes -----------------------------------------------------------------------------------

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Let the next :meth:`reset` give row ``i`` the seed ``seed + i``; None draws one.

        Raises:
            InvalidSeedError: ``seed`` is no whole number from 0.
        """
        self._need_open("seed")
        return super().seed(None if seed is None else checked_seeds([seed])[0])

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Let the next :meth:`reset` begin by ``options``, as in ``WorldGPTEnv.reset``.

        Args:
            options: one dict for all rows, or a list with one dict (or None) per row.

        Raises:
            InvalidOptionError: they are something else.
        """
        self._need_open("set_options")
        each = options if isinstance(options, list | tuple) else [options] * self.num_envs
        if len(each) != self.num_envs or not all(isinstance(o, dict | None) for o in each):
            raise InvalidOptionError(
                f"options are {shown(options)}; pass a dict, or a list of {self.num_envs} dicts."
            )
        for one in each:
            ResetOptions.parse(one or None, 1)
        super().set_options([dict(one or {}) for one in each])

    def reset(self) -> VecEnvObs:
        """Begin a new episode in every row and return the observations, ``(N, ...)`` per key."""
        self._need_open("reset")
        seeds = self._seeds if any(seed is not None for seed in self._seeds) else None
        if any(self._options):
            self.simulator.reset_each(seeds, [options or None for options in self._options])
        else:
            self.simulator.reset(seeds=seeds)
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._lengths[:], self._actions = 0, 0, None
        self.reset_infos = [self.simulator.start_info(row) for row in range(self.num_envs)]
        return self.simulator.observe()

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions ``(N, ...)`` of the next step.

        Raises:
            InvalidActionError: ``actions`` are not in the action space, batched.
            ResetNeededError: before :meth:`reset`.
        """
        self._need_open("step")
        if not self.simulator.started:
            raise ResetNeededError("step() before reset(): type observations = env.reset().")
        valid = self._validator.many(actions, self.num_envs)
        self._actions = valid if self._book is None else self._book.table[valid]  # (N, slots)

    def step_wait(self) -> VecEnvStepReturn:
        """Imagine one step; rows that end begin anew.

        Returns:
            Observations per key ``(N, ...)``, rewards ``(N,)`` float32, dones ``(N,)`` bool, infos.
        """
        self._need_open("step_wait")
        if self._actions is None:
            raise ResetNeededError("step_wait was called first; call step(actions) instead.")
        actions, self._actions = self._actions, None
        step = self.simulator.advance(actions)
        self._returns += step.reward
        self._lengths += 1
        observation = self.simulator.observe()
        infos = [
            {"uncertainty": uncertainty, "consistency": consistency, "TimeLimit.truncated": False}
            for uncertainty, consistency in zip(
                step.uncertainty.tolist(), step.consistency.tolist(), strict=True
            )
        ]
        for row, info in enumerate(infos) if step.read else ():
            info |= row_of(step.read, row)
        dones = step.terminated | step.truncated
        if dones.any():
            self._begin_anew(np.flatnonzero(dones), step, observation, infos)
            observation = self.simulator.observe()
        return observation, step.reward * np.float32(self.reward_scale), dones, infos

    def _begin_anew(
        self,
        rows: np.ndarray,
        step: SimulatorStep,
        observation: Observation,
        infos: list[dict[str, Any]],
    ) -> None:
        """Note how the ``rows`` ended, with their last ``observation``, and reset them."""
        for row in rows.tolist():
            infos[row].update(
                {
                    "TimeLimit.truncated": bool(step.truncated[row]),
                    "truncated_by": step.truncated_by[row],
                    "terminal_observation": {key: v[row].copy() for key, v in observation.items()},
                    "episode": {"r": float(self._returns[row]), "l": int(self._lengths[row])},
                }
            )
        self._returns[rows], self._lengths[rows] = 0, 0
        self.simulator.reset(rows)
        for row in rows.tolist():
            self.reset_infos[row] = self.simulator.start_info(row)

    def get_state(self) -> dict[str, Tensor]:
        """Return all that the future of the dreams depends on, as tensors by name (copies)."""
        self._need_open("get_state")
        own = {"returns": torch.from_numpy(self._returns.copy())}
        own["lengths"] = torch.from_numpy(self._lengths.copy())
        return self.simulator.get_state() | own

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Return to what :meth:`get_state` gave, of the same model and number of rows.

        Raises:
            WorldMismatchError: it is something else.
        """
        self._need_open("set_state")
        dreams = dict(state) if isinstance(state, Mapping) else {}
        own = {"returns": dreams.pop("returns", None), "lengths": dreams.pop("lengths", None)}
        kinds = {"returns": torch.float64, "lengths": torch.int64}
        for name, part in own.items():
            fits = isinstance(part, Tensor) and part.dtype == kinds[name]
            if not fits or part.shape != (self.num_envs,):  # type: ignore[union-attr]
                raise WorldMismatchError(
                    f"this state has no {name} of {self.num_envs} rows; pass what get_state() of "
                    "an ImaginedVecEnv of the same model and number of rows returned."
                )
        self.simulator.set_state(dreams)
        self._returns = own["returns"].detach().cpu().numpy().copy()  # type: ignore[union-attr]
        self._lengths = own["lengths"].cpu().numpy().copy()  # type: ignore[union-attr]

    def close(self) -> None:
        """Forget the dreams; any further use is an error, a second ``close`` is none."""
        self._closed = True

    def _need_open(self, what: str) -> None:
        if self._closed:
            raise ClosedEnvironmentError(f"{what}() after close(): make a new ImaginedVecEnv(...).")

    # what Stable-Baselines3 asks of the single environments --------------------------------------

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return the picture of every row, ``(H, W, 3)`` uint8: its image, or its newest frame.

        None in a world without either.
        """
        self._need_open("render")
        raw = self.simulator.raw()
        if str(Modality.IMAGE) in raw:
            return list(raw[str(Modality.IMAGE)])
        video = raw.get(str(Modality.VIDEO))  # (N, frames, H, W, 3)
        return [None] * self.num_envs if video is None else list(video[:, -1])

    def _get_indices(self, indices: VecEnvIndices) -> Iterable[int]:
        """Return row numbers; Stable-Baselines3 passes None for all, one, or several."""
        rows = range(self.num_envs) if indices is None else indices
        if isinstance(rows, int):
            rows = [rows]
        if not isinstance(rows, list | tuple | range | np.ndarray):
            raise ConfigurationError(f"indices are {shown(indices)}; use numbers of rows.")
        return [check_whole("an index", row, 0, self.num_envs - 1) for row in rows]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the dream once per row; all rows share it."""
        self._need_open("get_attr")
        if attr_name == "render_mode":
            value: Any = "rgb_array"
        else:
            value = getattr(self if attr_name in self.__dict__ else self.simulator, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: the rows share one simulator, which is set up by the constructor."""
        raise ConfigurationError(
            f"{attr_name!r} of a running dream cannot be set; pass it to ImaginedVecEnv(...)."
        )

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Return the result of ``"render"`` for each row; a dream has no environments to call."""
        self._need_open("env_method")
        if method_name != "render":
            raise AttributeError(
                f"the rows of a dream have no method {method_name!r}, only 'render'; "
                "call the simulator of this ImaginedVecEnv."
            )
        images = self.get_images()
        return [images[row] for row in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """Return True for Monitor only: ``info["episode"]`` is written as it writes it."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]


def check_reward_scale(scale: float) -> float:
    """Return the scale of rewards, which leaves them float32 numbers that differ from 0.

    Raises:
        ConfigurationError: it is no number above 0, or so extreme that rewards vanish or overflow.
    """
    return check_number("reward_scale", scale, 1e-9, 1e9)
