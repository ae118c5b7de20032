"""How an episode begins: by chance, or by what ``reset(options=...)`` asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import State
from worldgpt_env.model.checkpoint import resolve
from worldgpt_env.model.modalities import Modality, TextSpec

from .errors import (
    ConfigurationError,
    InvalidObservationError,
    InvalidOptionError,
    MissingModalityError,
    MissingStartStatesError,
    WorldMismatchError,
)
from .randomness import Keys
from .spaces import check_observation
from .start_states import KINDS, StartStates

OPTIONS = ("index", "observation", "description")


@dataclass(frozen=True)
class ResetOptions:
    """The checked options of one reset; at most one of them is set.

    Attributes:
        index: ``(B,)`` int64, places in the start states.
        observation: a raw observation, one for all rows or batched; checked where it is encoded.
        description: one text per row, to find the nearest start state by its words.
    """

    index: np.ndarray | None = None
    observation: Mapping[Any, np.ndarray] | None = None
    description: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, options: Any, rows: int) -> ResetOptions:
        """Check the ``options`` of a reset of ``rows`` rows.

        Raises:
            InvalidOptionError: an unknown option, two at once, or an impossible value.
        """
        if options is None:
            return cls()
        if not isinstance(options, Mapping) or set(options) - set(OPTIONS) or len(options) > 1:
            raise InvalidOptionError(
                f"reset(options={options!r:.120}) is not understood; pass one of "
                '{"index": 3}, {"observation": observation}, {"description": "words"}.'
            )
        if "index" in options:
            return cls(index=_parse_index(options["index"], rows))
        if "description" in options:
            return cls(description=_parse_description(options["description"], rows))
        if "observation" in options and not isinstance(options["observation"], Mapping):
            raise InvalidObservationError(
                f"the observation is a {type(options['observation']).__name__}; "
                "pass a dict with one array per modality."
            )
        return cls(observation=options.get("observation"))


class Starter:
    """Chooses the states that episodes of ``model`` start from.

    Args:
        model: the learned world.
        source: ``"first"``, ``"visited"`` or ``"mixed"`` of the model's own start states; or other
            start states, as file, folder or :class:`StartStates`, each as likely as the others.
    """

    def __init__(self, model: WorldGPT, source: str | Path | StartStates) -> None:
        """Remember where start states come from; a model's own are read when first needed."""
        self.model = model
        self.kind = str(source) if source in KINDS else "visited"
        self._states: StartStates | None = None
        if isinstance(source, StartStates):
            self._states = self._fitting(source)
        elif not isinstance(source, str | Path):
            raise ConfigurationError(
                f"start_states is {source!r:.80}; use one of {KINDS} or a path."
            )
        elif source not in KINDS:
            self._states = self._fitting(StartStates.load(source))

    @property
    def states(self) -> StartStates:
        """The start states.

        Raises:
            MissingStartStatesError: the model was not loaded from a folder that holds some.
        """
        if self._states is None:
            name = self.model.config._name_or_path
            if not name:
                raise MissingStartStatesError(
                    "this model was not loaded from disk, so it brings no start states; pass "
                    "start_states=StartStates.from_recording(model, recording), or a path."
                )
            self._states = self._fitting(StartStates.load(resolve(name)))
        return self._states

    def start(self, options: ResetOptions, keys: Keys) -> tuple[State, np.ndarray]:
        """Return the first states of new episodes and where they are in the start states.

        Args:
            options: of the reset.
            keys: ``(B,)`` one random key per episode.

        Returns:
            States ``(B, C, G)`` per modality, and indices ``(B,)`` int64 (-1: own observation).
        """
        if options.observation is not None:
            raw = check_observation(options.observation, self.model.specs, len(keys))
            return self.model.encode({m: value.copy() for m, value in raw.items()}), np.full(
                len(keys), -1
            )
        index = self._index(options, keys)
        state = self.states.select(index)
        return {m: codes.to(self.model.device) for m, codes in state.items()}, index

    def _index(self, options: ResetOptions, keys: Keys) -> np.ndarray:
        if options.index is not None:
            if (options.index < 0).any() or (options.index >= len(self.states)).any():
                raise InvalidOptionError(
                    f"there is no start state {options.index.tolist()}; "
                    f"pass an index from 0 to {len(self.states) - 1}."
                )
            return options.index
        if options.description is None:
            return self.states.sample(self.kind, keys)
        spec = self.model.specs.get(Modality.TEXT)
        if not isinstance(spec, TextSpec):
            raise MissingModalityError(
                "this world has no text to compare a description with; pass "
                '{"index": 3} or {"observation": observation}.'
            )
        found = [
            self.states.nearest(text, spec, keys[row : row + 1])
            for row, text in enumerate(options.description)
        ]
        return np.concatenate(found)

    def _fitting(self, states: StartStates) -> StartStates:
        """Refuse start states of another model."""
        shapes = {str(m): (c.shape[1:], int(c.max())) for m, c in states.codes.items()}
        for modality in self.model.specs:
            codec = self.model.codec(modality)
            shape, highest = shapes.pop(str(modality), (None, 0))
            if shape != (codec.cells, codec.digits) or highest >= codec.levels:
                raise WorldMismatchError(
                    f"the start states do not fit the {modality} of this model; make them anew: "
                    "StartStates.from_recording(model, recording)."
                )
        if shapes:
            raise WorldMismatchError(
                f"the start states have {sorted(shapes)}, which this model lacks; "
                "make them anew: StartStates.from_recording(model, recording)."
            )
        return states


def _parse_index(value: Any, rows: int) -> np.ndarray:
    array = np.asarray(value) if not isinstance(value, bool) else np.array("bool")
    if array.dtype.kind not in "iu" or array.shape not in ((), (rows,)):
        raise InvalidOptionError(
            f"index {value!r:.80} is not understood; pass an integer"
            + (f" or {rows} integers, one per row." if rows > 1 else ".")
        )
    return np.broadcast_to(array.astype(np.int64), (rows,))


def _parse_description(value: Any, rows: int) -> tuple[str, ...]:
    texts = (value,) * rows if isinstance(value, str) else value
    if (
        not isinstance(texts, list | tuple)
        or len(texts) != rows
        or not all(isinstance(text, str) for text in texts)
    ):
        raise InvalidOptionError(
            f"description {value!r:.80} is not understood; pass a text"
            + (f" or {rows} texts, one per row." if rows > 1 else ".")
        )
    return tuple(texts)
