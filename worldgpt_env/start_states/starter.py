"""Starter: how an episode begins, by chance or by what ``reset(options=...)`` asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.arguments import shown
from worldgpt_env.model.batch import Presence, State
from worldgpt_env.model.checkpoint import resolve
from worldgpt_env.model.codecs import Codec
from worldgpt_env.model.modalities import Modality, TextSpec
from worldgpt_env.model.safe_tensors import is_finite

from ..errors import (
    ConfigurationError,
    InvalidObservationError,
    InvalidOptionError,
    MissingModalityError,
    MissingStartStatesError,
    WorldGPTError,
    WorldMismatchError,
)
from ..randomness import Keys
from ..spaces import check_observation, plain_array
from .descriptions import Descriptions
from .imagined import imagine_start
from .states import KINDS, StartStates

OPTIONS = ("index", "observation", "description", "generate")


@dataclass(frozen=True)
class ResetOptions:
    """The checked options of one reset; at most one of them is set.

    Attributes:
        index: ``(B,)`` int64, places in the start states.
        observation: a raw observation, one for all rows or batched; checked where it is encoded.
        description: one text per row, to find the nearest start state by its words.
        generate: one text per row, to imagine a start state from words alone.
    """

    index: np.ndarray | None = None
    observation: Mapping[Any, np.ndarray] | None = None
    description: tuple[str, ...] | None = None
    generate: tuple[str, ...] | None = None

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
                f"reset(options={shown(options, 120)}) is not understood; pass one of "
                '{"index": 3}, {"observation": observation}, {"description": "words"}, '
                '{"generate": "words"}.'
            )
        if "index" in options:
            return cls(index=_parse_index(options["index"], rows))
        if "description" in options:
            return cls(description=_parse_texts("description", options["description"], rows))
        if "generate" in options:
            return cls(generate=_parse_texts("generate", options["generate"], rows))
        if "observation" in options and not isinstance(options["observation"], Mapping):
            raise InvalidObservationError(
                f"the observation is a {type(options['observation']).__name__}; "
                "pass a dict with one array per modality."
            )
        return cls(observation=options.get("observation"))


@dataclass(frozen=True)
class Start:
    """Where new episodes begin.

    Attributes:
        state: per modality ``(B, C, G)``.
        index: ``(B,)`` int64, places in the start states; -1 where the state is none of them.
        match: ``(B,)`` float64 in [0, 1], how well the state fits the words that were asked for;
            -1 where none were.
        present: per modality ``(B,)`` bool, which rows have it; all if it is not named.
    """

    state: State
    index: np.ndarray
    match: np.ndarray
    present: Presence = field(default_factory=dict)

    @classmethod
    def join(cls, starts: Sequence[Start]) -> Start:
        """Return the episodes of all ``starts``, one behind the other."""
        modalities = starts[0].state
        return cls(
            {m: torch.cat([start.state[m] for start in starts]) for m in modalities},
            np.concatenate([start.index for start in starts]),
            np.concatenate([start.match for start in starts]),
            {m: torch.cat([start.presence(m) for start in starts]) for m in modalities},
        )

    def presence(self, modality: Modality) -> Tensor:
        """Return which rows have ``modality``, ``(B,)`` bool."""
        whole = torch.ones(len(self.index), dtype=torch.bool)
        return self.present.get(modality, whole)


class Starter:
    """Chooses the states that episodes of ``model`` start from.

    Args:
        model: the learned world.
        source: ``"first"``, ``"visited"``, ``"mixed"`` or ``"rewarded"`` of the model's own start
            states; or others, as file, folder or :class:`StartStates`, each as likely.
    """

    def __init__(self, model: WorldGPT, source: str | Path | StartStates) -> None:
        """Remember where start states come from; a model's own are read when first needed."""
        self.model = model
        self.kind = "visited"
        self._states: StartStates | None = None
        if isinstance(source, StartStates):
            self._states = self._fitting(source)
        elif not isinstance(source, str | Path):
            raise ConfigurationError(
                f"start_states is {shown(source)}; use one of {KINDS} or a path."
            )
        elif source in KINDS:
            self.kind = str(source)
        else:
            try:
                self._states = self._fitting(StartStates.load(source))
            except WorldGPTError:
                raise
            except OSError as error:  # a name that no file can have, one that may not be read
                raise MissingStartStatesError(
                    f"there are no start states at {shown(str(source))}: {error.strerror}."
                ) from error

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

    def start(self, options: ResetOptions, keys: Keys) -> Start:
        """Return the first states of new episodes.

        Args:
            options: of the reset.
            keys: ``(B,)`` one random key per episode.
        """
        rows = len(keys)
        elsewhere, unasked = np.full(rows, -1), np.full(rows, -1.0)
        if options.observation is not None:
            raw = check_observation(options.observation, self.model.specs, rows)
            state = self.model.encode({m: value.copy() for m, value in raw.items()})
            return Start(state, elsewhere, unasked)
        if options.generate is not None:
            state, present, match = imagine_start(self.model, options.generate)
            return Start(state, elsewhere, match, present)
        if options.index is not None:
            return self._recorded(self._checked(options.index), unasked)
        if options.description is None:
            return self._recorded(self.states.sample(self.kind, keys), unasked)
        found = [
            self.descriptions.nearest(text, keys[row : row + 1])
            for row, text in enumerate(options.description)
        ]
        match = np.array([one.match for one in found])
        return self._recorded(np.concatenate([one.index for one in found]), match)

    @cached_property
    def descriptions(self) -> Descriptions:
        """The words of the start states.

        Raises:
            MissingModalityError: the world has no text.
        """
        spec = self.model.specs.get(Modality.TEXT)
        if not isinstance(spec, TextSpec):
            raise MissingModalityError(
                "this world has no text to compare a description with; pass "
                '{"index": 3} or {"observation": observation}.'
            )
        return self.states.descriptions(spec)

    def _recorded(self, index: np.ndarray, match: np.ndarray) -> Start:
        """Return the start states at ``index``."""
        state = {m: codes.to(self.model.device) for m, codes in self.states.select(index).items()}
        return Start(state, index, match, self.states.presence(index))

    def _checked(self, index: np.ndarray) -> np.ndarray:
        """Refuse places outside of the start states."""
        if (index < 0).any() or (index >= len(self.states)).any():
            raise InvalidOptionError(
                f"there is no start state {index.tolist()}; "
                f"pass an index from 0 to {len(self.states) - 1}."
            )
        return index

    def _fitting(self, states: StartStates) -> StartStates:
        """Refuse start states of another model."""
        parts = {str(modality): codes for modality, codes in states.codes.items()}
        for modality in self.model.specs:
            codes = parts.pop(str(modality), None)
            if codes is None or not _fits(codes, self.model.codec(modality)):
                raise WorldMismatchError(
                    f"the start states do not fit the {modality} of this model; make them anew: "
                    "StartStates.from_recording(model, recording)."
                )
        if parts:
            raise WorldMismatchError(
                f"the start states have {sorted(parts)}, which this model lacks; "
                "make them anew: StartStates.from_recording(model, recording)."
            )
        return states


def _fits(codes: Tensor, codec: Codec) -> bool:
    """Return whether ``codec`` can have given ``codes`` ``(R, C, G)``."""
    if codes.shape[1:] != (codec.cells, codec.digits):
        return False
    if codec.continuous or codes.is_floating_point():
        return codec.continuous and codes.is_floating_point() and is_finite(codes)
    return 0 <= int(codes.min()) and int(codes.max()) < codec.levels


def _parse_index(value: Any, rows: int) -> np.ndarray:
    array = plain_array(value)
    if array is None or array.dtype.kind not in "iu" or array.shape not in ((), (rows,)):
        raise InvalidOptionError(
            f"index {shown(value)} is not understood; pass an integer"
            + (f" or {rows} integers, one per row." if rows > 1 else ".")
        )
    return np.broadcast_to(array.astype(np.int64), (rows,))


def _parse_texts(option: str, value: Any, rows: int) -> tuple[str, ...]:
    texts = (value,) * rows if isinstance(value, str) else value
    if (
        not isinstance(texts, list | tuple)
        or len(texts) != rows
        or not all(isinstance(text, str) for text in texts)
    ):
        raise InvalidOptionError(
            f"{option} {shown(value)} is not understood; pass a text"
            + (f" or {rows} texts, one per row." if rows > 1 else ".")
        )
    return tuple(texts)
