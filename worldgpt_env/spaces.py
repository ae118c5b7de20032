"""Observation and action spaces of a world, and the gate that every action passes.

Keys stand in the order of :class:`Modality`, in real worlds and dreams alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from worldgpt_env.model.modalities import (
    ActionSpec,
    AudioSpec,
    Modality,
    ModalitySpec,
    TextSpec,
    VectorSpec,
)

from .errors import (
    InvalidActionError,
    InvalidObservationError,
    MissingModalityError,
    UnknownModalityError,
)
from .sentences import Sentences, is_sentences, listed


def choose_modalities(
    wanted: Iterable[Modality | str] | None, available: Iterable[Modality]
) -> tuple[Modality, ...]:
    """Return the wanted modalities (all when ``None``) in the order of :class:`Modality`.

    Raises:
        UnknownModalityError: a name is no modality.
        MissingModalityError: the world has no such modality, or none is wanted.
    """
    available = [modality for modality in Modality if modality in set(available)]
    if wanted is None:
        return tuple(available)
    if isinstance(wanted, str):
        wanted = (wanted,)
    chosen = set()
    for name in wanted:
        if str(name) not in {str(modality) for modality in Modality}:
            raise UnknownModalityError(
                f"modality {name!r} is unknown; choose from {[str(m) for m in available]}."
            )
        if Modality(str(name)) not in available:
            raise MissingModalityError(
                f"this world has no {str(name)!r}; choose from {[str(m) for m in available]}."
            )
        chosen.add(Modality(str(name)))
    if not chosen:
        raise MissingModalityError(
            f"modalities is empty; name at least one of {[str(m) for m in available]}."
        )
    return tuple(modality for modality in available if modality in chosen)


def modality_space(spec: ModalitySpec) -> spaces.Box:
    """Return the space of one raw modality, with the shape and dtype of its ``spec``."""
    if isinstance(spec, AudioSpec):
        return spaces.Box(-1.0, 1.0, spec.shape, np.float32)
    if isinstance(spec, TextSpec):
        return spaces.Box(0, len(spec.vocabulary) - 1, spec.shape, np.int64)
    if isinstance(spec, VectorSpec):
        return spaces.Box(np.array(spec.low, np.float32), np.array(spec.high, np.float32))
    return spaces.Box(0, 255, spec.shape, np.uint8)  # image and video


def decoded_space(
    specs: Mapping[Modality, ModalitySpec], modalities: Iterable[Modality | str] | None = None
) -> spaces.Dict:
    """Return the Dict space of raw observations, of all ``specs`` by default."""
    chosen = choose_modalities(modalities, specs)
    return _dict_space({str(modality): modality_space(specs[modality]) for modality in chosen})


def latent_space(
    sizes: Mapping[Modality, int], modalities: Iterable[Modality | str] | None = None
) -> spaces.Dict:
    """Return the Dict space of latent observations: per modality ``(size,)`` float32 in [-1, 1]."""
    chosen = choose_modalities(modalities, sizes)
    return _dict_space({str(m): spaces.Box(-1.0, 1.0, (sizes[m],), np.float32) for m in chosen})


def batched_space(space: spaces.Dict, rows: int) -> spaces.Dict:
    """Return the space of ``rows`` observations side by side, keys in the same order."""
    return _dict_space({key: batch_space(part, rows) for key, part in space.spaces.items()})


def _dict_space(parts: dict[str, Any]) -> spaces.Dict:
    """Return the Dict of ``parts`` in their order; Gymnasium sorts the keys of a plain dict."""
    return spaces.Dict(**parts)


def action_space(spec: ActionSpec) -> spaces.Discrete | spaces.Box | spaces.MultiDiscrete:
    """Return the Gymnasium space of ``spec``: Discrete, Box or MultiDiscrete (also of words)."""
    if spec.kind == "discrete":
        return spaces.Discrete(spec.sizes[0])
    if spec.kind == "text":  # a word id per slot
        return spaces.MultiDiscrete(np.full(spec.sizes, len(spec.names), np.int64))
    if spec.kind == "multidiscrete":
        return spaces.MultiDiscrete(np.array(spec.sizes, np.int64))
    return spaces.Box(np.array(spec.low, np.float32), np.array(spec.high, np.float32))


class ActionGate:
    """Lets actions of a space through as arrays and stops everything else.

    An action is what ``action_space.sample()`` returns: an integer for Discrete, an integer array
    for MultiDiscrete, a float32 (or float16) array inside the bounds for Box. A sentence stands for
    the ids of its words where actions are text, and for the number of the action with that name
    where they are discrete. Booleans, lists of numbers, ``None``, NaN, wrong shapes and values
    outside are refused; nothing is clipped or cast silently.
    """

    def __init__(self, spec: ActionSpec) -> None:
        """Prepare the bounds of ``spec``."""
        self.spec = spec
        self.sentences = Sentences(spec)
        self.dtype = np.dtype(np.float32 if spec.kind == "box" else np.int64)
        self.low: np.ndarray
        self.high: np.ndarray
        if spec.kind == "box":
            self.low = np.array(spec.low, np.float32)  # (n,)
            self.high = np.array(spec.high, np.float32)
        else:
            sizes = (len(spec.names),) * spec.sizes[0] if spec.kind == "text" else spec.sizes
            self.high = np.array(sizes, np.int64) - 1  # (parts,)
            self.high = self.high[0] if spec.kind == "discrete" else self.high  # () or (parts,)
            self.low = np.zeros_like(self.high)
        self.shape: tuple[int, ...] = self.high.shape

    def one(self, action: Any) -> np.ndarray:
        """Return the action of a single environment as a batch of one, ``(1,)`` or ``(1, parts)``.

        Raises:
            InvalidActionError: it is not in the action space.
        """
        if self.shape == () and isinstance(action, int) and not isinstance(action, bool):
            if not 0 <= action <= self.high:
                raise self._refusal(action, self.shape)
            return np.array([action])  # (1,)
        if isinstance(action, str) and self.sentences.readable:
            return self.sentences.read(action)[None]
        if not isinstance(action, np.ndarray | np.generic):
            raise self._refusal(action, self.shape)
        return self._check(np.asarray(action), action, self.shape)[None]

    def many(self, actions: Any, rows: int) -> np.ndarray:
        """Return the actions of ``rows`` environments, ``(rows,)`` or ``(rows, parts)``.

        Args:
            actions: an array of the batched action space, or a list with one sentence per row.
            rows: how many.

        Raises:
            InvalidActionError: they are not in the batched action space.
        """
        shape = (rows, *self.shape)
        if self.sentences.readable and is_sentences(actions) and len(actions) == rows:
            return np.stack([self.sentences.read(sentence) for sentence in actions])
        if not isinstance(actions, np.ndarray):
            raise self._refusal(actions, shape)
        return self._check(actions, actions, shape)

    def _check(self, array: np.ndarray, given: Any, shape: tuple[int, ...]) -> np.ndarray:
        kinds = "f" if self.dtype.kind == "f" else "iu"
        fits = array.shape == shape and array.dtype.kind in kinds
        if not fits or array.dtype.itemsize > self.dtype.itemsize:
            raise self._refusal(given, shape)
        if not ((array >= self.low) & (array <= self.high)).all():  # False for NaN
            raise self._refusal(given, shape)
        return array.astype(self.dtype)

    def _refusal(self, given: Any, shape: tuple[int, ...]) -> InvalidActionError:
        """Say what was given and what is allowed."""
        what = f"{type(given).__name__} {given!r}"[:120]
        if isinstance(given, np.ndarray):
            what = f"array of shape {given.shape}, dtype {given.dtype}: {given!r}"[:160]
        return InvalidActionError(f"{what} is not an action here; pass {self._allowed(shape)}.")

    def _allowed(self, shape: tuple[int, ...]) -> str:
        sizes, names = self.spec.sizes, self.spec.names
        if self.spec.kind == "discrete":
            named = ", ".join(f"{number} {name!r}" for number, name in enumerate(names))
            text = f"an integer from 0 to {sizes[0] - 1}" + (f" ({named})" if named else "")
            return text if shape == () else f"an integer array of shape {shape}, each {text}"
        if self.spec.kind == "text":
            many = "" if len(shape) == 1 else f" for each of the {shape[0]} rows"
            return (
                f"a sentence of at most {sizes[0]} words{many} ({listed(names)}), or an integer "
                f"array of shape {shape} with word ids from 0 to {len(names) - 1}"
            )
        if self.spec.kind == "multidiscrete":
            return f"an integer array of shape {shape} with values from 0 below {sizes}"
        return (
            f"a float32 array of shape {shape} between {self.low.tolist()} and {self.high.tolist()}"
            " (a float64 array: .astype(np.float32))"
        )


def check_observation(
    observation: Any, specs: Mapping[Modality, ModalitySpec], rows: int
) -> dict[Modality, np.ndarray]:
    """Return a raw observation as a batch: one for all rows, or already one per row.

    Args:
        observation: per modality of ``specs`` an array ``(*shape)`` or ``(rows, *shape)``.
        specs: all modalities that the model was trained on.
        rows: rows of the batch.

    Raises:
        InvalidObservationError: a shape, dtype or value does not fit the space.
        MissingModalityError: a modality is missing or unknown.
    """
    if not isinstance(observation, Mapping):
        raise InvalidObservationError(
            f"the observation is a {type(observation).__name__}; pass a dict of arrays "
            f"with the keys {sorted(map(str, specs))}."
        )
    given = {str(key) for key in observation}
    if given != {str(modality) for modality in specs}:
        raise MissingModalityError(
            f"the observation has the keys {sorted(given)}; "
            f"pass all of {sorted(map(str, specs))}, and no other."
        )
    by_key = {str(key): value for key, value in observation.items()}
    return {
        modality: _check_modality(str(modality), by_key[str(modality)], spec, rows)
        for modality, spec in specs.items()
    }


def _check_modality(key: str, value: Any, spec: ModalitySpec, rows: int) -> np.ndarray:
    space = modality_space(spec)
    array = np.asarray(value)
    if array.dtype != spec.dtype or array.shape not in (spec.shape, (rows, *spec.shape)):
        raise InvalidObservationError(
            f"the {key} of the observation has shape {array.shape} and dtype {array.dtype}; "
            f"pass {spec.shape} (or {(rows, *spec.shape)}) of {spec.dtype}."
        )
    if not ((array >= space.low) & (array <= space.high)).all():  # False for NaN
        raise InvalidObservationError(
            f"the {key} of the observation leaves its range "
            f"[{space.low.min()}, {space.high.max()}] or holds NaN."
        )
    return np.broadcast_to(array, (rows, *spec.shape))
