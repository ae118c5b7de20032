"""WorldGPTVectorEnv: many imagined episodes, one forward pass a step, as a Gymnasium vector env."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.arguments import check_whole, shown
from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.model.cognition.memory import MemoryConfig
from worldgpt_env.model.modalities import ActionSpec, Modality

from .env import RESET, Observation, RenderModes, check_render_mode
from .errors import (
    ClosedEnvironmentError,
    ConfigurationError,
    EpisodeEndedError,
    InvalidOptionError,
    InvalidSeedError,
    RenderModeError,
    ResetNeededError,
)
from .rendering import draw_panel
from .simulator import (
    DEFAULT_WORLD,
    KnowledgeConfig,
    Simulator,
    SimulatorConfig,
    SimulatorStep,
    checked_seeds,
    open_model,
)
from .spaces import batched_space
from .start_states import StartStates

Infos = dict[str, Any]


class WorldGPTVectorEnv(gym.vector.VectorEnv[Observation, np.ndarray, np.ndarray]):
    """``num_envs`` episodes of a learned world; row i of seed s is the single world of seed s + i.

    Spaces, rewards, ends, start states, ``info`` keys and arguments are those of
    :class:`WorldGPTEnv`; here every value of ``info`` is an array with a bool mask beside it
    (``info["uncertainty"]`` and ``info["_uncertainty"]``), as in all vector environments.

    Args:
        num_envs: episodes side by side.
        model: and the others as in :class:`WorldGPTEnv`; ``render_mode``: ``"rgb_array"`` or None.
        max_episode_steps: Gymnasium's name for an upper limit of ``horizon``.
        autoreset_mode: ``"NextStep"``: the step after an end resets the row, ignores its action and
            gives reward 0. ``"SameStep"``: the step that ends the row resets it too;
            ``info["final_obs"]`` and ``info["final_info"]`` hold what came last. ``"Disabled"``:
            ``reset(options={"reset_mask": mask})`` resets the rows of a bool mask.
    """

    def __init__(
        self,
        num_envs: int = 1,
        model: WorldGPT | str | Path = DEFAULT_WORLD,
        *,
        modalities: Iterable[Modality | str] | None = None,
        obs_mode: str = "decoded",
        horizon: int | None = None,
        start_states: str | Path | StartStates = "first",
        temperature: float | None = None,
        max_uncertainty: float | None = None,
        uncertainty_penalty: float = 0.0,
        memory: str | MemoryConfig | None = None,
        knowledge: str | Path | Knowledge | KnowledgeConfig | None = None,
        render_mode: str | None = None,
        device: str | torch.device | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        """Open a learned world ``num_envs`` times; the arguments are described in the class."""
        modes = RenderModes(["rgb_array"])
        check_render_mode(render_mode, modes)
        mode = _autoreset_mode(autoreset_mode)
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
        model = open_model(model, device)
        if max_episode_steps is not None:
            most = check_whole("max_episode_steps", max_episode_steps)
            config = replace(config, horizon=min(config.horizon or model.config.horizon, most))
        self.simulator = Simulator(model, num_envs, config)
        self.autoreset_mode = mode
        self.metadata = {
            "render_modes": modes,
            "render_fps": 8,
            "autoreset_mode": self.autoreset_mode,
        }
        self.num_envs = self.simulator.num_envs
        self.render_mode = render_mode
        self.single_observation_space = self.simulator.observation_space
        self.observation_space = batched_space(self.simulator.observation_space, self.num_envs)
        self.single_action_space = self.simulator.action_space
        self.action_space = batch_space(self.simulator.action_space, self.num_envs)

    @property
    def action_spec(self) -> ActionSpec:
        """What an agent may do, as in the real world."""
        return self.simulator.model.action_spec

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each discrete action does, or the words of text ones; empty if nobody said."""
        return self.action_spec.names

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Observation, Infos]:
        """Begin episodes in all rows, or in those of ``options["reset_mask"]``.

        Args:
            seed: row i gets ``seed + i``; or a list with one seed (or None) per row.
            options: as in :class:`WorldGPTEnv`, one value for all rows that are reset or one per
                row, and ``"reset_mask"``, ``(num_envs,)`` bool.
        """
        self._forbid_closed("reset")
        wanted = dict(options) if isinstance(options, Mapping) else options
        mask = np.ones(self.num_envs, bool)
        if isinstance(wanted, dict) and "reset_mask" in wanted:
            mask = self._checked_mask(wanted.pop("reset_mask"))
        seeds = self._seeds(seed)
        self.simulator.reset(mask, [seeds[row] for row in np.flatnonzero(mask)], wanted)
        return self.simulator.observe(), self._start_infos(mask)

    def step(
        self, actions: np.ndarray | Sequence[str]
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, Infos]:
        """Imagine one step in every row.

        Args:
            actions: of the action space; or a list with one sentence per row.

        Returns:
            Observations ``(num_envs, ...)`` by key, rewards ``(num_envs,)`` float64, terminations
            and truncations ``(num_envs,)`` bool, and infos.

        Raises:
            InvalidActionError: ``actions`` are not in the action space.
            ResetNeededError: before ``reset``, or (``EpisodeEndedError``) after the end of a row
                where autoreset is disabled.
        """
        self._forbid_closed("step")
        if not self.simulator.started:
            raise ResetNeededError(f"step() before reset(): type {RESET}.")
        over = self.simulator.ended
        if self.autoreset_mode is AutoresetMode.DISABLED and over.any():
            raise EpisodeEndedError(
                f"step() after the end of rows {np.flatnonzero(over).tolist()}: type "
                'env.reset(options={"reset_mask": mask}) with a bool mask.'
            )
        step = self.simulator.step(actions)
        if over.any():
            self.simulator.reset(over)
        infos = _step_infos(step, ~over, self.simulator.texts())
        if over.any():
            _merge(infos, self._start_infos(over))
        ended = step.terminated | step.truncated
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            infos = self._reset_same_step(ended, infos)
        rewards = step.reward.astype(np.float64)
        return self.simulator.observe(), rewards, step.terminated, step.truncated, infos

    def render(self) -> tuple[np.ndarray, ...]:
        """Return one picture per row, ``(height, width, 3)`` uint8 each."""
        self._forbid_closed("render")
        if self.render_mode is None:
            raise RenderModeError(
                "render() needs a render mode; open the worlds with "
                'gym.make_vec("WorldGPT-v0", num_envs=8, render_mode="rgb_array").'
            )
        raw = self.simulator.raw()
        return tuple(
            draw_panel({key: value[row] for key, value in raw.items()}, self.simulator.specs)
            for row in range(self.num_envs)
        )

    # parts --------------------------------------------------------------------------------------

    def _reset_same_step(self, ended: np.ndarray, infos: Infos) -> Infos:
        """Reset the rows that have just ended; keep their last observation and info apart."""
        last = self.simulator.observe()
        final_obs = np.full(self.num_envs, None, object)
        for row in np.flatnonzero(ended):
            final_obs[row] = {key: value[row].copy() for key, value in last.items()}
        final = {key: _where(ended, value) for key, value in infos.items()}
        self.simulator.reset(ended)
        _merge(infos, self._start_infos(ended))
        infos |= {"final_obs": final_obs, "_final_obs": ended.copy()}
        return infos | {"final_info": final, "_final_info": ended.copy()}

    def _start_infos(self, mask: np.ndarray) -> Infos:
        """Return the infos of rows that have just been reset."""
        texts, chosen = _where(mask, np.array(self.simulator.texts(), object)), np.flatnonzero(mask)
        values = {
            "uncertainty": np.zeros(self.num_envs),
            "consistency": mask.astype(np.float64),
            "text": texts,
            "truncated_by": _where(mask, np.full(self.num_envs, "", object)),
            "start_index": np.where(mask, self.simulator.start_index, 0),
        }
        infos = _masked(values, mask)
        starts = {row: self.simulator.start_info(row) for row in chosen.tolist()}
        for key, empty in (("match", 0.0), ("absent", None), ("untrained", None), ("memory", 0)):
            having = [row for row, start in starts.items() if key in start]
            if having:
                column = np.full(self.num_envs, empty)  # None: of objects
                for row in having:
                    column[row] = starts[row][key]
                infos |= _masked({key: column}, np.isin(np.arange(self.num_envs), having))
        return infos

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """Return one seed, or None, per row."""
        if seed is None:
            if self.simulator.started:
                return [None] * self.num_envs
            return [int(drawn) for drawn in self.np_random.integers(2**63, size=self.num_envs)]
        if isinstance(seed, list | tuple):
            if len(seed) != self.num_envs:
                raise InvalidSeedError(f"there are {len(seed)} seeds for {self.num_envs} rows.")
            return list(seed)
        first = checked_seeds([seed])[0]  # type: ignore[list-item]
        super().reset(seed=first)
        return [first + row for row in range(self.num_envs)]

    def _checked_mask(self, mask: Any) -> np.ndarray:
        fits = isinstance(mask, np.ndarray) and mask.shape == (self.num_envs,)
        fits = fits and not isinstance(mask, np.ma.MaskedArray)
        if not fits or mask.dtype != bool or not mask.any():
            raise InvalidOptionError(
                f"reset_mask {shown(mask)} is not understood; pass a bool array of shape "
                f"({self.num_envs},) with at least one True."
            )
        return mask

    def _forbid_closed(self, what: str) -> None:
        if self.closed:
            raise ClosedEnvironmentError(
                f'{what}() after close(): open the worlds again with gym.make_vec("WorldGPT-v0").'
            )


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    known = [known.value for known in AutoresetMode]
    if not isinstance(mode, AutoresetMode | str) or mode not in [*AutoresetMode, *known]:
        raise ConfigurationError(f"autoreset_mode is {shown(mode)}; use one of {known}.")
    return AutoresetMode(mode)


def _step_infos(step: SimulatorStep, mask: np.ndarray, texts: list[str]) -> Infos:
    """Return the infos of the rows that moved."""
    values = {
        "uncertainty": step.uncertainty.astype(np.float64),
        "consistency": step.consistency.astype(np.float64),
        "text": np.array(texts, object),
        "truncated_by": step.truncated_by,
        **step.read,
    }
    return _masked({key: _where(mask, value) for key, value in values.items()}, mask)


def _masked(values: Infos, mask: np.ndarray) -> Infos:
    """Put ``_key`` beside every key: the rows that have the value; inside dicts too."""
    masked: Infos = {}
    for key, value in values.items():
        masked[key] = _masked(value, mask) if isinstance(value, dict) else value
        masked[f"_{key}"] = mask.copy()
    return masked


def _where(mask: np.ndarray, value: Any) -> Any:
    """Return a copy of ``value`` with 0, False or None outside ``mask``; of all in a dict."""
    if isinstance(value, dict):
        return {key: _where(mask, part) for key, part in value.items()}
    empty = np.full_like(value, None if value.dtype == object else 0)
    empty[mask] = value[mask]
    return empty


def _merge(infos: Infos, others: Infos) -> None:
    """Write the rows that ``others`` has into ``infos``."""
    for key in [key for key in others if not key.startswith("_")]:
        mask = others[f"_{key}"]
        infos.setdefault(key, np.zeros_like(others[key]))
        infos.setdefault(f"_{key}", np.zeros_like(mask))
        infos[key][mask] = others[key][mask]
        infos[f"_{key}"] |= mask
