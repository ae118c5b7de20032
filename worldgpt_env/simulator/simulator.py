"""Simulator: N imagined episodes side by side; the environments are shells over this."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model import Imagination, WorldGPT
from worldgpt_env.model.arguments import check_whole, shown
from worldgpt_env.model.batch import Prediction, State
from worldgpt_env.model.curriculum import Combination
from worldgpt_env.model.modalities import Modality, TextSpec

from ..actions import ActionValidator
from ..errors import (
    ConfigurationError,
    MissingHeadError,
    NonFiniteError,
    ResetNeededError,
    WorldMismatchError,
)
from ..randomness import Stream, draw_keys, noise_keys, uniforms
from ..spaces import action_space, choose_modalities, decoded_space, latent_space
from ..start_states import ResetOptions, Start, Starter, StartStates
from .cognition import Cognition, as_knowledge, as_memory
from .config import DEFAULT_WORLD, SimulatorConfig, open_model
from .episode_state import EpisodeState, SimulatorStep, forms, holds_rows
from .observer import StateObserver, see

MOST_ROWS = 2**20


class Simulator:
    """``num_envs`` imagined episodes, one forward pass a step; a row never depends on another.

    Args:
        model: the name of an embedded world, the folder of a model, or a :class:`WorldGPT`.
        num_envs: rows.
        config: how the world is played.
        device: where the model computes; by default where it is (the CPU when it is loaded here). A
            model that is passed is moved there, and put in evaluation mode.

    Example:
        >>> simulator = Simulator("doorkey", num_envs=64)
        >>> state = simulator.reset(seeds=list(range(64)))
        >>> step = simulator.step(np.zeros(64, np.int64))
        >>> observation = simulator.observe()
    """

    def __init__(
        self,
        model: WorldGPT | str | Path = DEFAULT_WORLD,
        num_envs: int = 1,
        config: SimulatorConfig | None = None,
        *,
        device: str | torch.device | None = None,
    ) -> None:
        """Open the model; nothing is imagined before the first :meth:`reset`."""
        self.num_envs = check_whole("num_envs", num_envs, 1, MOST_ROWS)
        self.config = SimulatorConfig() if config is None else config
        if not isinstance(self.config, SimulatorConfig):
            raise ConfigurationError(f"config is {shown(config)}; pass a SimulatorConfig.")
        self.model = open_model(model, device)
        if not self.model.config.rewarded:
            raise MissingHeadError(
                f"the recording of {self.model.config.world!r} told no rewards, so this model has "
                "none to give; model.predict(state, action) works. For an environment, record "
                "rewards and train again."
            )
        self.specs = self.model.specs
        asked = self.config.modalities
        if asked is None and self.config.obs_mode == "latent":
            asked = self.model.agent_modalities
        self.modalities = choose_modalities(asked, self.specs)
        self.horizon = int(self.config.horizon or self.model.config.horizon)
        chosen = self.config.temperature
        self.temperature = float(self.model.config.temperature if chosen is None else chosen)
        self.validator = ActionValidator(self.model.action_spec)
        self.action_space = action_space(self.model.action_spec)  # of one row
        if self.config.obs_mode == "latent":
            self.observation_space = latent_space(self.model.latent_sizes, self.modalities)
        else:
            self.observation_space = decoded_space(self.specs, self.modalities)
        self._starter = Starter(self.model, self.config.start_states)
        memory, knowledge = as_memory(self.config.memory), as_knowledge(self.config.knowledge)
        self._cognition: Cognition | None = None
        if memory is not None or knowledge is not None:
            self._cognition = Cognition(self.model, self.num_envs, memory, knowledge)
        self._imagination = self._engine()
        self._episodes = EpisodeState.new(self.num_envs, tuple(self.specs))
        self._observer = StateObserver(self.model)

    @property
    def state(self) -> State:
        """The states now, per modality ``(N, C, G)`` int64 codes."""
        self._need_reset("state")
        return self._episodes.codes

    @property
    def started(self) -> bool:
        """Whether every row has been reset once."""
        return bool((self._episodes.episodes >= 0).all())

    @property
    def ended(self) -> np.ndarray:
        """``(N,)`` bool: rows that stand still until they are reset."""
        return self._episodes.ended.copy()

    @property
    def start_index(self) -> np.ndarray:
        """``(N,)`` int64: the start state of each episode, -1 where it was none of them."""
        return self._episodes.start_index.copy()

    @property
    def start_states(self) -> StartStates:
        """The states that episodes start from."""
        return self._starter.states

    def start_info(self, row: int) -> dict[str, Any]:
        """Return what ``info`` says of the start of a row that has just been reset.

        ``start_index``; ``match`` if words were asked for; ``absent`` if modalities are missing;
        ``untrained`` if the model was never trained to predict from those that are there;
        ``memory`` if there is one, 0.
        """
        episodes = self._episodes
        info: dict[str, Any] = {"start_index": int(episodes.start_index[row])}
        if self._cognition is not None and self._cognition.memory is not None:
            info["memory"] = 0
        if episodes.match[row] >= 0:
            info["match"] = float(episodes.match[row])
        if missing := episodes.absent_keys(row):
            info["absent"] = missing
        there = tuple(m for m in self.specs if str(m) not in missing)
        asked = Combination(there, tuple(self.specs))
        if self.model.config.combinations is not None and not self.model.was_trained_on(asked):
            info["untrained"] = asked.name
        return info

    # episodes -----------------------------------------------------------------------------------

    def reset(
        self,
        rows: np.ndarray | Sequence[int] | None = None,
        seeds: Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> State:
        """Begin a new episode in the chosen rows; the others are left alone.

        Args:
            rows: ``(N,)`` bool mask or row numbers, all by default.
            seeds: one per chosen row; ``None`` goes on with the randomness of the row.
            options: ``{"index": i}``, ``{"observation": raw}``, ``{"description": text}`` or
                ``{"generate": text}``, one value for all chosen rows or one per row.

        Returns:
            The states of all rows.
        """
        chosen = self._episodes.chosen(rows)
        parsed = ResetOptions.parse(options, len(chosen))
        seed_of, episodes = self._episodes.next_episodes(chosen, seeds)
        keys = draw_keys(seed_of, episodes, np.zeros_like(episodes), Stream.START)
        start = self._starter.start(parsed, keys)
        return self._begin(chosen, seed_of, episodes, start)

    def reset_each(
        self, seeds: Sequence[int | None] | None, options: Sequence[Mapping[str, Any] | None]
    ) -> State:
        """Begin an episode in every row, each by its own of N ``options``; in all rows or none."""
        chosen = self._episodes.chosen(None)
        parsed = [ResetOptions.parse(one, 1) for one in options]
        seed_of, episodes = self._episodes.next_episodes(chosen, seeds)
        keys = draw_keys(seed_of, episodes, np.zeros_like(episodes), Stream.START)
        starts = [self._starter.start(one, keys[row : row + 1]) for row, one in enumerate(parsed)]
        return self._begin(chosen, seed_of, episodes, Start.join(starts))

    def _begin(
        self, chosen: np.ndarray, seeds: np.ndarray, episodes: np.ndarray, start: Start
    ) -> State:
        """Put the episodes of ``start`` in the ``chosen`` rows."""
        place = torch.from_numpy(chosen).to(self.model.device)
        self._imagination.reset(place)
        if self._cognition is not None:
            self._cognition.clear(place)
        self._episodes.begin(chosen, seeds, episodes, start)
        self._observer.turn_to(self._episodes.codes, chosen)
        return self._episodes.codes

    def step(self, actions: np.ndarray | Sequence[str]) -> SimulatorStep:
        """Imagine one step in every row that has not ended.

        Args:
            actions: ``(N,)`` int64, ``(N, parts)`` int64 or ``(N, n)`` float32; or N sentences.

        Raises:
            InvalidActionError: an action is outside the action space.
            NonFiniteError: the model gave NaN or infinity; every row has to be reset.
            ResetNeededError: a row was never reset.
        """
        self._need_reset("step")
        return self.advance(self.validator.many(actions, self.num_envs))

    def advance(self, actions: np.ndarray) -> SimulatorStep:
        """Imagine one step as :meth:`step` does, with ``actions`` that :attr:`validator` returned.

        Every row must have been reset.
        """
        device, noise = self.model.device, None
        if self.temperature > 0:
            noise = torch.from_numpy(noise_keys(self._episodes.draw(Stream.DYNAMICS))).to(device)
        try:
            action = torch.from_numpy(actions).to(device)
            return self._imagine(action, noise)
        except NonFiniteError:
            self._imagination = self._engine()  # what is not finite stays in the ring of the old
            self._episodes.ended[:] = True
            raise

    def _imagine(self, action: Tensor, noise: Tensor | None) -> SimulatorStep:
        """Read memory and knowledge, predict, remember, and apply what was predicted."""
        before, live = self._episodes.codes, ~self._episodes.ended
        missing = self._episodes.partly_present(self.model.device)
        if self._cognition is None:
            return self._apply(self._imagination.step(before, action, noise, missing), live)
        contexts, read = self._cognition.read(before, action, missing)
        prediction = self._imagination.step(before, action, noise, missing, contexts=contexts)
        step = self._apply(prediction, live)
        self._cognition.remember(before, action, prediction.state, torch.from_numpy(live), missing)
        return replace(step, read=read)

    def _apply(self, prediction: Prediction, live: np.ndarray) -> SimulatorStep:
        """Apply a prediction, which is finite: rewards, ends, cuts, and the new states."""
        episodes = self._episodes
        rewards, chance = prediction.rewards.cpu().numpy(), prediction.termination.cpu().numpy()
        uncertainty = prediction.uncertainty.cpu().numpy()
        threshold = uniforms(episodes.draw(Stream.TERMINATION)) if self.temperature > 0 else 0.5
        terminated = live & (chance > threshold)
        steps = episodes.steps + live
        lost = np.full(self.num_envs, False)
        if self.config.max_uncertainty is not None:
            lost = live & ~terminated & (uncertainty > self.config.max_uncertainty)
        late = live & ~terminated & ~lost & (steps >= self.horizon)
        truncated_by = np.full(self.num_envs, "", object)
        truncated_by[late], truncated_by[lost] = "horizon", "uncertainty"
        reward = np.where(terminated, rewards[:, 1], rewards[:, 0])  # if it ends, if it goes on
        reward = reward - np.float32(self.config.uncertainty_penalty) * uncertainty
        episodes.move(prediction.state)
        episodes.steps, episodes.ended = steps, ~live | terminated | lost | late
        self._observer.turn_to(episodes.codes)
        if self.config.obs_mode == "latent":
            self._observer.know_latent(prediction.state_latent, live)
        return SimulatorStep(
            state=episodes.codes,
            reward=np.where(live, reward, np.float32(0)),
            terminated=terminated,
            truncated=lost | late,
            uncertainty=np.where(live, uncertainty, np.float32(0)),
            consistency=np.where(live, prediction.consistency.cpu().numpy(), np.float32(1)),
            truncated_by=truncated_by,
        )

    def correct(self, state: State, rows: np.ndarray | None = None) -> None:
        """Put observed states in place of imagined ones in ``rows`` ``(N,)`` bool, which go on."""
        self._need_reset("correct")
        episodes = self._episodes
        chosen = np.ones(self.num_envs, bool) if rows is None else rows
        there = torch.from_numpy(chosen).to(self.model.device)[:, None, None]
        episodes.codes = {m: torch.where(there, state[m], c) for m, c in episodes.codes.items()}
        episodes.ended = episodes.ended & ~chosen
        self._observer.turn_to(episodes.codes, np.flatnonzero(chosen))
        self._amend_memory()

    # what is seen -------------------------------------------------------------------------------

    def observe(self, state: State | None = None) -> dict[str, np.ndarray]:
        """Return the observations of ``state`` (now by default), new arrays ``(B, ...)`` by key."""
        return self._look(self.config.obs_mode, self.modalities, state)

    def raw(self, state: State | None = None) -> dict[str, np.ndarray]:
        """Return all modalities of ``state`` (now by default) decoded, whatever is observed."""
        return self._look("decoded", tuple(self.specs), state)

    def texts(self, state: State | None = None) -> list[str]:
        """Return the sentence of each row of ``state`` (now by default), "" without text."""
        spec = self.specs.get(Modality.TEXT)
        if not isinstance(spec, TextSpec):
            return [""] * len(next(iter((self.state if state is None else state).values())))
        if state is None or state is self._episodes.codes:
            self._need_reset("texts")
            return self._observer.texts(spec)
        ids = see(self.model, "decoded", {Modality.TEXT: state[Modality.TEXT]})[Modality.TEXT]
        return [spec.decode(row) for row in ids]

    def _look(
        self, form: str, modalities: Sequence[Modality], state: State | None
    ) -> dict[str, np.ndarray]:
        """Return ``modalities`` of ``state`` (now by default), see :class:`StateObserver`."""
        if state is None or state is self._episodes.codes:
            self._need_reset("observe")
            return self._observer.look(form, modalities)
        seen = see(self.model, form, {m: state[m] for m in modalities})
        return {str(m): seen[m] for m in modalities}

    # copies -------------------------------------------------------------------------------------

    def fork(
        self, rows: Sequence[int] | np.ndarray | None = None, seeds: Sequence[int] | None = None
    ) -> Simulator:
        """Return an independent simulator whose rows go on from copies of ``rows``.

        Args:
            rows: row numbers, repeats allowed (``[0] * 64``: 64 futures of row 0); all by default.
            seeds: new randomness, one seed per new row; by default that of the copied row, so that
                the same actions lead to the same dream.
        """
        self._need_reset("fork")
        chosen = self._episodes.chosen(rows, repeats=True)
        place = torch.from_numpy(chosen).to(self.model.device)
        other = copy.copy(self)
        other._episodes = self._episodes.select(chosen, seeds)
        other.num_envs = len(chosen)
        other._imagination = self._imagination.select(place)
        other._cognition = None if self._cognition is None else self._cognition.select(place)
        other._observer = StateObserver(self.model)
        other._observer.turn_to(other._episodes.codes)
        return other

    def get_state(self) -> dict[str, Tensor]:
        """Return all that the future depends on, as tensors by name (copies that can be saved)."""
        self._need_reset("get_state")
        memory = {f"imagination/{name}": t for name, t in self._imagination.snapshot().items()}
        if self._cognition is not None:
            memory |= {f"memory/{name}": t for name, t in self._cognition.snapshot().items()}
        return self._episodes.to_tensors() | memory

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Return to what :meth:`get_state` of a simulator of the same model and size gave.

        Raises:
            WorldMismatchError: it is of another model or another number of rows.
        """
        self._check_state(state)
        parts = dict(state)
        self._imagination.restore(_take("imagination/", parts))
        if self._cognition is not None:
            self._cognition.restore(_take("memory/", parts))
        self._episodes = EpisodeState.from_tensors(parts, tuple(self.specs), self.model.device)
        self._observer.turn_to(self._episodes.codes)
        self._amend_memory()

    # parts --------------------------------------------------------------------------------------

    def _engine(self) -> Imagination:
        """Return what imagines all rows, with no past."""
        reading = None if self._cognition is None else self._cognition.reading
        return self.model.imagination(self.num_envs, temperature=self.temperature, reading=reading)

    def _amend_memory(self) -> None:
        """Let the memory know the states that were put in place of imagined ones."""
        if self._cognition is not None:
            present = self._episodes.partly_present(torch.device("cpu"))
            self._cognition.amend(self._episodes.codes, present)

    def _check_state(self, state: Mapping[str, Tensor]) -> None:
        """Refuse a state that is not one of this model and number of rows."""
        if not isinstance(state, Mapping) or not all(isinstance(t, Tensor) for t in state.values()):
            raise WorldMismatchError("this is no state; pass what get_state() returned.")
        parts = dict(state)
        past, remembered = _take("imagination/", parts), _take("memory/", parts)
        wanted = self._imagination.snapshot()
        past.pop("absent", None), wanted.pop("absent", None)  # once a row has missed a modality
        fits = forms(past) == forms(wanted) and holds_rows(parts, self.model, self.num_envs)
        if not fits or not (
            self._cognition.fits(remembered) if self._cognition else not remembered
        ):
            raise WorldMismatchError(
                f"this state is of another model or memory, or not of {self.num_envs} rows; "
                "pass what get_state() of the same world and number of rows returned."
            )

    def _need_reset(self, what: str) -> None:
        if not self.started:
            raise ResetNeededError(f"{what} needs every row to be reset once: call reset() first.")


def _take(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the tensors whose names start with ``prefix`` out, and return them without it."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}
