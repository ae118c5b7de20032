"""N imagined episodes side by side, as tensors; the environments are shells over this."""

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
from worldgpt_env.model.batch import Prediction, Presence, State
from worldgpt_env.model.curriculum import Combination
from worldgpt_env.model.modalities import Modality, TextSpec

from .cognition import Cognition, as_knowledge, as_memory
from .errors import (
    ConfigurationError,
    MissingHeadError,
    NonFiniteError,
    ResetNeededError,
    WorldMismatchError,
)
from .opening import open_model
from .presence import absent_keys, partial
from .randomness import Stream, draw_keys, noise_keys, uniforms
from .rows import Rows
from .simulator_config import SimulatorConfig, is_whole
from .spaces import ActionGate, action_space, choose_modalities, decoded_space, latent_space
from .start_states import StartStates
from .starting import ResetOptions, Starter
from .step import SimulatorStep

DEFAULT_WORLD = "doom-audio"
"""The embedded world that opens when none is named."""


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
        >>> observation = simulator.observe(step.state)
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
        if not is_whole(num_envs, 1):
            raise ConfigurationError(f"num_envs is {num_envs!r}; use a whole number from 1.")
        self.config = config or SimulatorConfig()
        self.model = open_model(model, device)
        if not self.model.config.rewarded:
            raise MissingHeadError(
                f"the recording of {self.model.config.world!r} told no rewards, so this model has "
                "none to give; model.predict(state, action) works. For an environment, record "
                "rewards and train again."
            )
        self.num_envs = int(num_envs)
        self.specs = self.model.specs
        asked = self.config.modalities
        if asked is None and self.config.obs_mode == "latent":
            asked = self.model.agent_modalities
        self.modalities = choose_modalities(asked, self.specs)
        self.horizon = int(self.config.horizon or self.model.config.horizon)
        chosen = self.config.temperature
        self.temperature = float(self.model.config.temperature if chosen is None else chosen)
        self.gate = ActionGate(self.model.action_spec)
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
        self._state: State = {}
        self._present = {m: torch.ones(self.num_envs, dtype=torch.bool) for m in self.specs}
        self._rows = Rows.new(self.num_envs)

    @property
    def state(self) -> State:
        """The states now, per modality ``(N, C, G)`` int64 codes."""
        self._need_reset("state")
        return self._state

    @property
    def started(self) -> bool:
        """Whether every row has been reset once."""
        return bool((self._rows.episodes >= 0).all())

    @property
    def ended(self) -> np.ndarray:
        """``(N,)`` bool: rows that stand still until they are reset."""
        return self._rows.ended.copy()

    @property
    def start_index(self) -> np.ndarray:
        """``(N,)`` int64: the start state of each episode, -1 where it was none of them."""
        return self._rows.start_index.copy()

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
        info: dict[str, Any] = {"start_index": int(self._rows.start_index[row])}
        if self._cognition is not None and self._cognition.memory is not None:
            info["memory"] = 0
        if self._rows.match[row] >= 0:
            info["match"] = float(self._rows.match[row])
        if missing := absent_keys(self._present, row):
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
        chosen = self._rows.chosen(rows)
        parsed = ResetOptions.parse(options, len(chosen))
        seed_of, episodes = self._rows.next_episodes(chosen, seeds)
        keys = draw_keys(seed_of, episodes, np.zeros_like(episodes), Stream.START)
        start = self._starter.start(parsed, keys)
        if not self._state:
            shapes = {m: (self.num_envs, *c.shape[1:]) for m, c in start.state.items()}
            self._state = {m: c.new_zeros(shapes[m]) for m, c in start.state.items()}
        place = torch.from_numpy(chosen).to(self.model.device)
        self._state = {m: c.index_copy(0, place, start.state[m]) for m, c in self._state.items()}
        for modality, there in self._present.items():
            there[chosen] = start.present.get(modality, torch.tensor(True))
        self._imagination.reset(place)
        if self._cognition is not None:
            self._cognition.clear(place)
        self._rows.begin(chosen, seed_of, episodes, start.index, start.match)
        return self._state

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
        actions = self.gate.many(actions, self.num_envs)
        device, noise = self.model.device, None
        if self.temperature > 0:
            noise = torch.from_numpy(noise_keys(self._rows.draw(Stream.DYNAMICS))).to(device)
        try:
            action = torch.from_numpy(actions).to(device)
            missing = {m: there.to(device) for m, there in partial(self._present).items()}
            return self._imagine(action, noise, missing)
        except NonFiniteError:
            self._imagination = self._engine()  # what is not finite stays in the ring of the old
            self._rows.ended[:] = True
            raise

    def _imagine(self, action: Tensor, noise: Tensor | None, missing: Presence) -> SimulatorStep:
        """Read memory and knowledge, predict, remember, and apply what was predicted."""
        if self._cognition is None:
            return self._advance(self._imagination.step(self._state, action, noise, missing))
        contexts, read = self._cognition.read(self._state, action, missing)
        prediction = self._imagination.step(self._state, action, noise, missing, contexts=contexts)
        before, live = self._state, torch.from_numpy(~self._rows.ended)
        step = self._advance(prediction)
        self._cognition.remember(before, action, prediction.state, live, missing)
        return replace(step, read=read)

    def _advance(self, prediction: Prediction) -> SimulatorStep:
        """Apply a prediction: rewards, ends, cuts, and the new states."""
        rewards = _finite("reward", prediction.rewards)  # (N, 2): going on, ending
        chance = _finite("end", prediction.termination)
        uncertainty = _finite("uncertainty", prediction.uncertainty)
        consistency = _finite("consistency", prediction.consistency)
        live = ~self._rows.ended
        threshold = uniforms(self._rows.draw(Stream.TERMINATION)) if self.temperature > 0 else 0.5
        terminated = live & (chance > threshold)
        steps = self._rows.steps + live
        lost = np.full(self.num_envs, False)
        if self.config.max_uncertainty is not None:
            lost = live & ~terminated & (uncertainty > self.config.max_uncertainty)
        late = live & ~terminated & ~lost & (steps >= self.horizon)
        truncated_by = np.full(self.num_envs, "", object)
        truncated_by[late], truncated_by[lost] = "horizon", "uncertainty"
        reward = np.where(terminated, rewards[:, 1], rewards[:, 0])
        reward = reward - np.float32(self.config.uncertainty_penalty) * uncertainty
        self._state = self._keep_ended(prediction.state)
        for there in self._present.values():
            there |= torch.from_numpy(live)  # whatever a row lacked is now predicted
        self._rows.steps = steps
        self._rows.ended = ~live | terminated | lost | late
        return SimulatorStep(
            state=self._state,
            reward=np.where(live, reward, np.float32(0)),
            terminated=terminated,
            truncated=lost | late,
            uncertainty=np.where(live, uncertainty, np.float32(0)),
            consistency=np.where(live, consistency, np.float32(1)),
            truncated_by=truncated_by,
        )

    def correct(self, state: State, rows: np.ndarray | None = None) -> None:
        """Put observed states in place of imagined ones in ``rows`` ``(N,)`` bool, which go on."""
        self._need_reset("correct")
        chosen = np.ones(self.num_envs, bool) if rows is None else rows
        there = torch.from_numpy(chosen).to(self.model.device)[:, None, None]
        self._state = {m: torch.where(there, state[m], c) for m, c in self._state.items()}
        self._rows.ended = self._rows.ended & ~chosen
        if self._cognition is not None:
            self._cognition.amend(self._state, partial(self._present))

    # what is seen -------------------------------------------------------------------------------

    def observe(self, state: State | None = None) -> dict[str, np.ndarray]:
        """Return the observations of ``state`` (now by default), new arrays ``(B, ...)`` by key."""
        state = self.state if state is None else state
        seen = {modality: state[modality] for modality in self.modalities}
        if self.config.obs_mode == "latent":
            return {str(m): _finite(str(m), v) for m, v in self.model.latent(seen).items()}
        return {str(m): _finite(str(m), v) for m, v in self.model.decode(seen).items()}

    def raw(self, state: State | None = None) -> dict[str, np.ndarray]:
        """Return all modalities of ``state`` (now by default) decoded, whatever is observed."""
        state = self.state if state is None else state
        return {str(m): _finite(str(m), v) for m, v in self.model.decode(state).items()}

    def texts(self, state: State | None = None) -> list[str]:
        """Return the sentence of each row of ``state`` (now by default), "" without text."""
        state = self.state if state is None else state
        spec = self.specs.get(Modality.TEXT)
        if not isinstance(spec, TextSpec):
            return [""] * len(next(iter(state.values())))
        ids = self.model.decode({Modality.TEXT: state[Modality.TEXT]})[Modality.TEXT]
        return [spec.decode(row) for row in ids.cpu().numpy()]

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
        chosen = self._rows.chosen(rows)
        place = torch.from_numpy(chosen).to(self.model.device)
        other = copy.copy(self)
        other.num_envs = len(chosen)
        other._imagination = self._imagination.select(place)
        other._cognition = None if self._cognition is None else self._cognition.select(place)
        other._state = {modality: codes[place] for modality, codes in self._state.items()}
        other._present = {m: there[torch.from_numpy(chosen)] for m, there in self._present.items()}
        other._rows = self._rows.select(chosen, seeds)
        return other

    def get_state(self) -> dict[str, Tensor]:
        """Return all that the future depends on, as tensors by name (copies that can be saved)."""
        self._need_reset("get_state")
        state = {f"state/{modality}": codes.clone() for modality, codes in self._state.items()}
        memory = {f"imagination/{name}": t for name, t in self._imagination.snapshot().items()}
        there = {f"present/{modality}": t.clone() for modality, t in self._present.items()}
        rows = {f"rows/{name}": t for name, t in self._rows.to_tensors().items()}
        if self._cognition is not None:
            memory |= {f"memory/{name}": t for name, t in self._cognition.snapshot().items()}
        return state | there | memory | rows

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Return to what :meth:`get_state` of a simulator of the same model and size gave.

        Raises:
            WorldMismatchError: it is of another model or another number of rows.
        """
        self._fit_state(state)
        self._imagination.restore(_under("imagination/", state))
        device = self.model.device
        codes = _under("state/", state)
        self._state = {m: codes[str(m)].to(device, copy=True) for m in self.specs}
        there = _under("present/", state)
        self._present = {m: there[str(m)].cpu().clone() for m in self.specs}
        self._rows = Rows.from_tensors(_under("rows/", state))
        if self._cognition is not None:
            self._cognition.restore(_under("memory/", state))
            self._cognition.amend(self._state, partial(self._present))

    # parts --------------------------------------------------------------------------------------

    def _engine(self) -> Imagination:
        """Return what imagines all rows, with no past."""
        reading = None if self._cognition is None else self._cognition.reading
        return self.model.imagination(self.num_envs, temperature=self.temperature, reading=reading)

    def _fit_state(self, state: Mapping[str, Tensor]) -> None:
        """Refuse a state that is not one of this model and number of rows."""
        if not isinstance(state, Mapping) or not all(isinstance(t, Tensor) for t in state.values()):
            raise WorldMismatchError("this is no state; pass what get_state() returned.")
        memory = self._imagination.snapshot()
        memory.pop("absent", None)  # only there once a row has missed a modality
        wanted = {f"imagination/{name}": t.shape for name, t in memory.items()}
        for modality in self.specs:
            codec = self.model.codec(modality)
            wanted[f"state/{modality}"] = torch.Size((self.num_envs, codec.cells, codec.digits))
            wanted[f"present/{modality}"] = torch.Size((self.num_envs,))
        wanted |= {f"rows/{name}": t.shape for name, t in self._rows.to_tensors().items()}
        remembered = _under("memory/", state)
        fits = self._cognition.fits(remembered) if self._cognition else not remembered
        found = {
            name: t.shape
            for name, t in state.items()
            if name != "imagination/absent" and not name.startswith("memory/")
        }
        if found != wanted or not fits:
            raise WorldMismatchError(
                f"this state is of another model or memory, or not of {self.num_envs} rows; "
                "pass what get_state() of the same world and number of rows returned."
            )

    def _keep_ended(self, state: State) -> State:
        """Return ``state`` with the rows that had ended as they were."""
        if not self._rows.ended.any():
            return state
        still = torch.from_numpy(self._rows.ended).to(self.model.device)[:, None, None]
        return {m: torch.where(still, self._state[m], codes) for m, codes in state.items()}

    def _need_reset(self, what: str) -> None:
        if not self.started:
            raise ResetNeededError(f"{what} needs every row to be reset once: call reset() first.")


def _finite(name: str, values: Tensor) -> np.ndarray:
    """Return ``values`` as an array of its own; NaN and infinity are an error."""
    array = values.cpu().numpy()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NonFiniteError(
            f"the world model gave a {name} that is NaN or infinite; its weights are damaged or "
            "did not converge. Load another checkpoint."
        )
    return array


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with ``prefix``, without it."""
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
