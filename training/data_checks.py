"""The door of recordings: every episode passes it before it is written, and when it is read."""

from __future__ import annotations

import dataclasses
import json
import operator
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from worldgpt_env.model.array_checks import LARGEST, ArrayCheck, Misfit, ends_problem
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import SPEC_OF, ActionSpec, Modality, ModalitySpec
from worldgpt_env.worlds.registry import check_world_name

from .episode import Episode, RecordingError

MOST_LETTERS = 1000  # of a scenario


class Recorded(Protocol):
    """What is checked of a :class:`~worldgpt_env.training.recording.Recording`."""

    world: str
    specs: dict[Modality, ModalitySpec]
    action_spec: ActionSpec
    episodes: list[Episode]


class EpisodeCheck:
    """Checks the episodes of one world, and gives their numbers the dtypes that are stored.

    Args:
        specs: shape, dtype and range of each modality.
        action_spec: what an agent may do.
    """

    def __init__(self, specs: Mapping[Modality, ModalitySpec], action_spec: ActionSpec) -> None:
        """Prepare the bounds of ``specs`` and ``action_spec``."""
        self._checks = {modality: ArrayCheck.of(spec) for modality, spec in specs.items()}
        self._actions = ArrayCheck.of_actions(action_spec)
        self._stored = np.dtype(np.float32 if action_spec.kind == "box" else np.int64)

    def __call__(self, episode: Episode, where: str) -> Episode:
        """Return ``episode`` as it is stored: int64 or float32 actions, Python's bools and ints.

        Args:
            episode: what to check; nothing of it is changed, no value is cut or rounded.
            where: what is checked, such as ``"episode 3"``, for the message.

        Raises:
            RecordingError: something does not fit, with the step and what was expected.
        """
        steps = self._steps(episode, where)
        self._check_actions(episode.actions, steps, where)
        rewards = _checked_rewards(episode.rewards, steps, where)
        problem = ends_problem(episode.terminated, episode.truncated)
        if not problem and not (episode.terminated or episode.truncated):
            problem = (
                "the episode is neither terminated nor truncated; expected is one of both: "
                "truncated where the recording just stops"
            )
        if problem:
            raise RecordingError(f"{where}: {problem}.")
        present = _checked_presence(episode.present, self._checks, steps + 1, where)
        self._check_observations(episode.observations, present, steps, where)
        return dataclasses.replace(
            episode,
            actions=episode.actions.astype(self._stored, copy=False),
            rewards=rewards,
            terminated=bool(episode.terminated),
            truncated=bool(episode.truncated),
            seed=_checked_seed(episode.seed, where),
            present=present,
            scenario=_checked_scenario(episode.scenario, where),
        )

    def _steps(self, episode: Episode, where: str) -> int:
        """Return the number of steps of an episode that has the right parts."""
        if not isinstance(episode, Episode):
            raise RecordingError(f"{where} is a {type(episode).__name__}; give an Episode.")
        if not isinstance(episode.observations, Mapping) or set(episode.observations) != set(
            self._checks
        ):
            has, needs = (list(map(str, part)) for part in (episode.observations, self._checks))
            raise RecordingError(f"{where} has the modalities {has} instead of {needs}.")
        for name in ("actions", "rewards"):
            part = getattr(episode, name)
            if not isinstance(part, np.ndarray) or part.ndim == 0:
                raise RecordingError(
                    f"{where}: the {name} are a {type(part).__name__}; give an array, one row a "
                    "step."
                )
        steps, rewards = len(episode.actions), len(episode.rewards)
        if not steps or rewards != steps:
            raise RecordingError(
                f"{where} has {steps} actions and {rewards} rewards; give one reward after each "
                "action, and at least one."
            )
        return steps

    def _check_actions(self, actions: np.ndarray, steps: int, where: str) -> None:
        misfit = self._actions.many(actions, steps)
        if misfit is not None:
            what = (
                "the array of actions" if misfit.row is None else f"step {misfit.row}: the action"
            )
            raise _refusal(where, what, misfit)

    def _check_observations(
        self,
        observations: Mapping[Modality, np.ndarray],
        present: Mapping[Modality, np.ndarray],
        steps: int,
        where: str,
    ) -> None:
        for modality, check in self._checks.items():
            there = present.get(modality)
            absent = None if there is None else ~there
            misfit = check.many(observations[modality], steps + 1, absent)
            if misfit is not None and misfit.row is None:
                short = np.ndim(observations[modality]) and len(observations[modality]) != steps + 1
                more = "one moment more than actions" if short else ""
                raise _refusal(where, f"the {modality}", misfit, more)
            if misfit is not None:
                when = f"after step {misfit.row - 1}" if misfit.row else "before the first step"
                raise _refusal(where, f"moment {misfit.row} ({when}): the {modality}", misfit)

    def check_arrays(self, episode: Episode, where: str) -> None:
        """Refuse what a model cannot be shown: of WorldNet, rewards may be NaN, not told.

        Args:
            episode: its observations may be of more modalities than are checked.
            where: what is checked, for the message.

        Raises:
            RecordingError: an observation, action or reward does not fit.
        """
        steps = len(episode)
        self._check_actions(episode.actions, steps, where)
        present = _checked_presence(episode.present, episode.observations, steps + 1, where)
        self._check_observations(episode.observations, present, steps, where)
        if np.isinf(episode.rewards).any():
            step = int(np.argmax(np.isinf(episode.rewards)))
            raise RecordingError(f"{where}: the reward of step {step} is infinite.")


def check_for_model(
    recording: Recorded, specs: Mapping[Modality, ModalitySpec], action_spec: ActionSpec
) -> None:
    """Refuse a recording that a model of ``specs`` and ``action_spec`` cannot learn from.

    Raises:
        RecordingError: it is of another world or of other options, or an episode does not fit.
    """
    pairs: list[tuple[str, Any, Any]] = [
        (f"the {modality}", recording.specs.get(modality), spec) for modality, spec in specs.items()
    ]
    for what, has, needs in [*pairs, ("the actions", recording.action_spec, action_spec)]:
        if has != needs:
            raise RecordingError(
                f"the recording of {recording.world!r} does not belong to the model: {what} of the "
                f"recording: {has!r:.160}; of the model: {needs!r:.160}. Record the world that the "
                "model learned, with the same options."
            )
    check = EpisodeCheck(specs, action_spec)
    for number, episode in enumerate(recording.episodes):
        check.check_arrays(episode, f"episode {number} of world {recording.world!r}")


def check_recording(
    world: Any,
    specs: Mapping[Modality, ModalitySpec],
    action_spec: ActionSpec,
    world_options: Mapping[str, Any],
) -> None:
    """Refuse what a recording says about itself if it could not be written, or not be read again.

    Raises:
        RecordingError: the name is none, a modality has the spec of another, or an option is no
            plain JSON value.
    """
    try:
        check_world_name(world, "the world of the recording")
    except ConfigurationError as error:
        raise RecordingError(str(error)) from error
    if not isinstance(specs, Mapping) or not specs:
        raise RecordingError(f"the recording has the specs {specs!r:.80}; name one modality.")
    for modality, spec in specs.items():
        if modality not in list(Modality) or not isinstance(spec, SPEC_OF[Modality(modality)]):
            raise RecordingError(
                f"the recording has the spec {spec!r:.80} for {modality!s}; give each modality its "
                "own."
            )
    if not isinstance(action_spec, ActionSpec):
        raise RecordingError(
            f"the recording's actions are {action_spec!r:.80}; give an ActionSpec."
        )
    check_options(world_options)


def check_options(world_options: Any) -> dict[str, Any]:
    """Return keyword arguments of ``make_world`` as JSON gives them back.

    Raises:
        RecordingError: they are no keyword arguments of plain JSON values.
    """
    if not isinstance(world_options, Mapping) or not all(isinstance(k, str) for k in world_options):
        raise RecordingError(
            f"world_options is {world_options!r:.200}; give a dict of the arguments of make_world."
        )
    return dict(json_values(dict(world_options), "world_options"))


def json_values(values: Any, what: str) -> Any:
    """Return ``values`` as JSON gives them back: with lists for tuples.

    Raises:
        RecordingError: they hold something that JSON does not know, or NaN.
    """
    try:
        return json.loads(json.dumps(values, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordingError(
            f"{what} is {values!r:.200}, which cannot be stored as JSON ({error}); use text, plain "
            "numbers, True, False, None, and lists and dicts of them."
        ) from error


def _checked_rewards(rewards: np.ndarray, steps: int, where: str) -> np.ndarray:
    """Return rewards as float32; wider ones pass where that changes none of them."""
    masked = isinstance(rewards, np.ma.MaskedArray)
    if masked or rewards.shape != (steps,) or rewards.dtype.kind != "f":
        raise RecordingError(
            f"{where}: the array of rewards {'is masked and ' * masked}has shape {rewards.shape} "
            f"and dtype {rewards.dtype}; expected is shape {(steps,)} and dtype float32: "
            "rewards.astype(np.float32)."
        )
    with np.errstate(over="ignore"):
        narrow = rewards.astype(np.float32, copy=False)
    finite = np.isfinite(narrow)
    if not finite.all():
        step = int(np.argmin(finite))
        raise RecordingError(
            f"{where} has a reward that is NaN or infinite as float32: {rewards[step]} at step "
            f"{step}; expected is a finite number of at most {LARGEST:.3g}."
        )
    if not np.array_equal(narrow, rewards):
        step = int(np.argmax(narrow != rewards))
        raise RecordingError(
            f"{where}: the array of rewards has dtype {rewards.dtype}, and float32 would change "
            f"{rewards[step]} at step {step}; round them yourself: rewards.astype(np.float32)."
        )
    return narrow


def _checked_presence(
    present: Any, modalities: Mapping[Modality, Any], moments: int, where: str
) -> dict[Modality, np.ndarray]:
    if not isinstance(present, Mapping) or not set(present) <= set(modalities):
        raise RecordingError(
            f"{where}: present is of {present!r:.120}; expected are modalities of the recording, "
            f"which has {list(map(str, modalities))}."
        )
    for modality, there in present.items():
        fits = isinstance(there, np.ndarray) and not isinstance(there, np.ma.MaskedArray)
        if not fits or (there.shape, there.dtype) != ((moments,), np.bool_):
            came = (
                f"an array of shape {there.shape} and dtype {there.dtype}"
                if isinstance(there, np.ndarray)
                else f"a {type(there).__name__}"
            )
            raise RecordingError(
                f"{where}: present of the {modality} is {came}; expected is shape {(moments,)} and "
                "dtype bool: one moment more than actions."
            )
    return {Modality(modality): there for modality, there in present.items()}


def _checked_seed(seed: Any, where: str) -> int:
    try:
        whole = -1 if isinstance(seed, bool | np.bool_) else operator.index(seed)
    except TypeError:
        whole = -1
    if not 0 <= whole < 2**63:
        raise RecordingError(
            f"{where}: the seed is {seed!r:.80}; expected is a whole number from 0 below 2**63: "
            "what the world was reset with, or the episode's number where that is not known."
        )
    return whole


def _checked_scenario(scenario: Any, where: str) -> str:
    fits = isinstance(scenario, str) and len(scenario) <= MOST_LETTERS and "\0" not in scenario
    if fits:
        try:
            scenario.encode()
        except UnicodeEncodeError:
            fits = False
    if not fits:
        raise RecordingError(
            f"{where}: the scenario is {scenario!r:.80}; expected is text of at most "
            f'{MOST_LETTERS} letters, or "".'
        )
    return str(scenario)


def _refusal(where: str, what: str, misfit: Misfit, more: str = "") -> RecordingError:
    hint = f": {more}" if more else ""
    return RecordingError(f"{where}: {what} {misfit.came}; expected is {misfit.expected}{hint}.")
