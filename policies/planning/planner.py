"""Planner: looks ahead in a dream from what is really observed, with the `predict` of SB3."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.randomness import Keys, Stream, draw_keys, seed_keys
from worldgpt_env.simulator import SimulatorConfig, checked_seeds, open_model

from .history import History
from .rollout import Scoring, SubgoalBonus, Value, imagine
from .sequences import Sequences, sequences_of
from .state import PlannerState, PlanNote

Observation = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class PlannerConfig:
    """How far and how wide a planner looks.

    Attributes:
        horizon: steps of a plan.
        candidates: plans that are imagined side by side, for each environment.
        discount: of each further step; below 1, sooner rewards are better.
        uncertainty_penalty: times the uncertainty of each step, taken off the score.
        novelty: what a moment is worth that the episode has not met, in units of the largest
            recorded reward; where nothing else tells plans apart, the episode then goes on to see
            something new.
        replan_every: steps that are taken of a plan before the next one is made.
        max_surprise: a moment further than this from what was imagined ends the plan; never by
            default.
        recall: where a plan comes to a moment of this episode and does what was done then, let
            follow what followed then, whatever the model says. By default in worlds without chance,
            those of models whose own temperature is 0.
        seed: of the candidates, and of the dreams where they are drawn.
    """

    horizon: int = 12
    candidates: int = 64
    discount: float = 0.97
    uncertainty_penalty: float = 0.0
    novelty: float = 0.0
    replan_every: int = 1
    max_surprise: float | None = None
    recall: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible values, and name those that are possible."""
        for name in ("horizon", "candidates", "replan_every"):
            self._need(name, lambda value: isinstance(value, int) and value >= 1, "a number from 1")
        if self.replan_every > self.horizon:
            raise ConfigurationError(
                f"replan_every is {self.replan_every}; a plan has {self.horizon} steps (horizon)."
            )
        self._need("discount", lambda value: 0 < value <= 1, "a number above 0 and up to 1")
        for name in ("uncertainty_penalty", "novelty"):
            self._need(name, lambda value: 0 <= value < math.inf, "a number from 0")
        if self.max_surprise is not None:
            self._need("max_surprise", lambda value: value >= 0, "a number from 0, or None")
        if self.recall not in (None, True, False):
            raise ConfigurationError(f"recall is {self.recall!r}; use true, false or None.")
        checked_seeds([self.seed])

    def _need(self, name: str, fits: Any, wanted: str) -> None:
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not fits(value):
            raise ConfigurationError(f"{name} is {value!r}; use {wanted}.")


class Planner:
    """Chooses actions by trying sequences of them in forks of what was really observed.

    It goes wherever a Stable-Baselines3 policy goes, and sees raw observations of all modalities of
    its model. All candidates of all rows are imagined in one batch, and nothing but its own past
    decides what is done in a row: not the row's number, not what runs beside it. What it remembers
    is in the ``state`` that `predict` returns; without it, every moment is taken for a first one.

    Args:
        model: the world model: name, folder or ``WorldGPT``.
        config: how far and how wide it looks.
        value: what the last states of a plan are worth beyond it, as :class:`PolicyValue`.
        dream: how the dream is played; by default the likeliest outcome of every step. With a
            temperature, all candidates meet the same chances.

    Attributes:
        trace: one :class:`PlanNote` per row of the last `predict`.
    """

    config_class: type[PlannerConfig] = PlannerConfig
    iterations = 1

    def __init__(
        self,
        model: WorldGPT | str,
        config: PlannerConfig | None = None,
        *,
        value: Value | None = None,
        dream: SimulatorConfig | None = None,
    ) -> None:
        """Open the model."""
        self.model = open_model(model)
        self.config = config or self.config_class()
        if not isinstance(self.config, self.config_class):
            raise ConfigurationError(
                f"{type(self).__name__} takes a {self.config_class.__name__}, "
                f"not a {type(self.config).__name__}."
            )
        self.dream = dream or SimulatorConfig(temperature=0.0)
        self.trace: list[PlanNote] = []
        self._key = seed_keys([self.config.seed])
        self.scoring = self._scoring(value)

    # the signature of Stable-Baselines3 ----------------------------------------------------------

    def predict(
        self,
        observation: Observation,
        state: PlannerState | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, PlannerState]:
        """Return the next action of the best plan found, and what is to be remembered.

        Args:
            observation: raw, per key ``(N, *shape)``, or one without the axis of rows.
            state: what the last call returned; None at the start.
            episode_start: ``(N,)`` bool, rows whose observation is the first of an episode.
            deterministic: makes no difference; a planner always takes its best plan.

        Returns:
            Actions ``(N, ...)`` (one action for one observation) and the state.
        """
        single, batch, rows = self._batched(observation)
        now, reasons = self._observed(batch, rows, state, episode_start)
        due = np.flatnonzero([bool(reason) for reason in reasons])
        if len(due):
            now = self._replanned(now, due)
        everyone = np.arange(rows)
        actions = now.plan[everyone, now.age]
        self.trace = [self._note(now, row, reasons[row], actions[row]) for row in range(rows)]
        following = replace(now, age=now.age + 1, step=now.step + 1)
        return (actions[0] if single else actions), following

    # what subclasses say -------------------------------------------------------------------------

    def _start(self, kept: np.ndarray | None) -> Sequences:
        """Return where the search begins; ``kept`` ``(H, ...)`` is the rest of the last plan."""
        return sequences_of(self.model.action_spec, self.config.horizon)

    def _improve(self, proposal: Sequences, sequences: np.ndarray, scores: np.ndarray) -> Sequences:
        """Return where the next iteration looks, after one of :attr:`iterations`."""
        return proposal

    def _decide(self, proposal: Sequences, best: np.ndarray) -> np.ndarray:
        """Return the plan ``(H, ...)``, given the best candidate of all iterations."""
        return best

    def _aim(self, now: PlannerState, reasons: list[str]) -> tuple[PlannerState, list[str]]:
        """Let a planner with subgoals look at what was observed, before plans are made."""
        return now, reasons

    def _bonus(self, now: PlannerState, row: int) -> SubgoalBonus | None:
        """Return what is to be reached beside the reward."""
        return None

    # parts ---------------------------------------------------------------------------------------

    def _scoring(self, value: Value | None) -> Scoring:
        config, recall = self.config, self.config.recall
        return Scoring(
            config.discount,
            config.uncertainty_penalty,
            config.novelty * self._largest_reward,
            self.model.config.temperature == 0 if recall is None else bool(recall),
            value,
        )

    @property
    def _largest_reward(self) -> float:
        """The largest reward of the recording, by its size."""
        bins = self.model.config.reward_bins
        return max(abs(bins.low), abs(bins.high))

    def _batched(self, observation: Observation) -> tuple[bool, dict[str, np.ndarray], int]:
        """Return whether there was no axis of rows, the batch, and its number of rows."""
        if not isinstance(observation, Mapping) or not observation:
            raise ConfigurationError(
                f"a planner needs raw observations by modality, not {type(observation).__name__}; "
                f"use a world of {self.model.config.world!r} without wrappers that encode."
            )
        arrays = {str(key): np.asarray(value) for key, value in observation.items()}
        specs = {str(modality): spec for modality, spec in self.model.specs.items()}
        key = next((key for key in arrays if key in specs), None)
        single = key is not None and arrays[key].ndim == len(specs[key].shape)
        if single:
            arrays = {name: value[None] for name, value in arrays.items()}
        return single, arrays, len(next(iter(arrays.values())))

    def _observed(
        self,
        batch: dict[str, np.ndarray],
        rows: int,
        state: PlannerState | None,
        episode_start: np.ndarray | None,
    ) -> tuple[PlannerState, list[str]]:
        """Return what is remembered with the new moment, and per row why a plan is due ("")."""
        seed = self.config.seed
        if state is None:
            history = History.begin(self.model, batch, rows, self.dream, seed)
            zeros = np.zeros(rows, np.int64)
            blank = sequences_of(self.model.action_spec, self.config.horizon).middle()
            plan = np.repeat(blank[None], rows, 0)
            now = PlannerState(history, plan, zeros, zeros, np.zeros(rows), (None,) * rows)
            return self._aim(now, ["start"] * rows)
        if len(state) != rows:
            raise ConfigurationError(
                f"the state is of {len(state)} rows and the observation of {rows}; "
                "pass state.select(rows) with the rows that go on."
            )
        starts = np.zeros(rows, bool) if episode_start is None else np.asarray(episode_start, bool)
        done = state.plan[np.arange(rows), state.age - 1]
        history = state.history.after(done, batch, starts, seed)
        now = replace(state, history=history, step=np.where(starts, 0, state.step))
        reasons = [self._reason(now, row, bool(starts[row])) for row in range(rows)]
        return self._aim(now, reasons)

    def _reason(self, now: PlannerState, row: int, starts: bool) -> str:
        """Return why ``row`` needs a new plan, "" if it does not."""
        limit, surprise = self.config.max_surprise, now.history.surprise[row]
        if starts:
            return "start"
        if limit is not None and surprise > limit:
            return f"surprise {surprise:.3f}"
        return "plan used up" if now.age[row] >= self.config.replan_every else ""

    def _replanned(self, now: PlannerState, due: np.ndarray) -> PlannerState:
        """Return ``now`` with new plans in the rows ``due``."""
        count = self.config.candidates
        fork = now.history.simulator.fork(np.repeat(due, count))
        beginning = fork.get_state() if self.iterations > 1 else {}
        bonuses = [self._bonus(now, int(row)) for row in due]
        memories = [now.history.memories[row] for row in due]
        kept = [self._rest(now, int(row)) for row in due]
        proposals = [self._start(rest) for rest in kept]
        best: list[np.ndarray | None] = list(kept)
        scores = np.full(len(due), -math.inf)
        for iteration in range(self.iterations):
            if iteration:
                fork.set_state(beginning)
            drawn = [
                self._drawn(proposals[place], int(now.step[row]), iteration, best[place])
                for place, row in enumerate(due)
            ]
            every = np.concatenate(drawn)
            found = imagine(fork, every, self.scoring, bonuses, memories).reshape(-1, count)
            for place, (sequences, worth) in enumerate(zip(drawn, found, strict=True)):
                first = int(worth.argmax())
                if worth[first] > scores[place] or best[place] is None:
                    best[place], scores[place] = sequences[first], worth[first]
                proposals[place] = self._improve(proposals[place], sequences, worth)
        plan, age, score = now.plan.copy(), now.age.copy(), now.score.copy()
        for place, row in enumerate(due):
            chosen = best[place]
            assert chosen is not None
            plan[row] = self._decide(proposals[place], chosen)
        age[due], score[due] = 0, scores
        return replace(now, plan=plan, age=age, score=score)

    def _rest(self, now: PlannerState, row: int) -> np.ndarray | None:
        """Return what is left of the plan of ``row``, filled up by its last action."""
        age = int(now.age[row])
        if now.step[row] == 0:
            return None
        place = np.minimum(np.arange(self.config.horizon) + age, self.config.horizon - 1)
        return now.plan[row, place]

    def _drawn(
        self, proposal: Sequences, step: int, iteration: int, kept: np.ndarray | None
    ) -> np.ndarray:
        """Return the candidates ``(C, H, ...)``; the best one so far is the first of them."""
        drawn = proposal.draw(self._keys(step, iteration))
        if kept is not None:
            drawn[0] = kept
        return drawn

    def _keys(self, step: int, iteration: int) -> Keys:
        """Return a key per candidate, which neither row nor number of candidates changes."""
        numbers = np.arange(self.config.candidates)
        keys = np.repeat(self._key, len(numbers))
        moment = np.full_like(numbers, step * self.iterations + iteration)
        return draw_keys(keys, numbers, moment, Stream.PLANNING)

    def _note(self, now: PlannerState, row: int, reason: str, action: np.ndarray) -> PlanNote:
        return PlanNote(
            row=row,
            step=int(now.step[row]),
            action=self._in_words(action),
            reason=reason,
            score=float(now.score[row]),
            surprise=float(now.history.surprise[row]),
        )

    def _in_words(self, action: np.ndarray) -> str:
        spec = self.model.action_spec
        if spec.kind == "text":
            return repr(spec.vocabulary.decode(action))
        if spec.kind == "discrete" and spec.names:
            return repr(spec.names[int(action)])
        return str(action.tolist())
