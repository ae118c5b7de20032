"""Observation and action spaces of a world.

Keys stand in the order of :class:`Modality`, in real worlds and dreams alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from worldgpt_env.model.arguments import shown
from worldgpt_env.model.modalities import (
    UNBOUNDED,
    ActionSpec,
    AudioSpec,
    Modality,
    ModalitySpec,
    TextSpec,
    VectorSpec,
)

from .errors import (
    ConfigurationError,
    InvalidObservationError,
    MissingModalityError,
    UnknownModalityError,
)


def parse_modalities(wanted: Iterable[Modality | str]) -> tuple[Modality, ...]:
    """Return the modalities that ``wanted`` names, as they were given; one name counts as one.

    Raises:
        UnknownModalityError: a name is no modality.
        MissingModalityError: none is named.
        ConfigurationError: it is no collection of names, or holds one twice.
    """
    known, found = [str(modality) for modality in Modality], list[Modality]()
    try:
        names = iter((wanted,) if isinstance(wanted, str) else wanted)
    except Exception as error:
        raise ConfigurationError(
            f"modalities is {shown(wanted)}; pass some of {known}, such as ['image', 'text']."
        ) from error
    for name in names:  # one by one: an endless iterator meets an error at once
        if not isinstance(name, str) or name not in known:
            raise UnknownModalityError(f"modality {shown(name)} is unknown; choose from {known}.")
        if Modality(name) in found:
            raise ConfigurationError(f"modalities names {str(name)!r} twice; name each once.")
        found.append(Modality(name))
    if not found:
        raise MissingModalityError(f"modalities is empty; name at least one of {known}.")
    return tuple(found)


def choose_modalities(
    wanted: Iterable[Modality | str] | None, available: Iterable[Modality]
) -> tuple[Modality, ...]:
    """Return the wanted modalities (all when ``None``) in the order of :class:`Modality`.

    Raises:
        MissingModalityError: the world has no such modality, or none is wanted.
        ConfigurationError: see :func:`parse_modalities`.
    """
    there = [modality for modality in Modality if modality in set(available)]
    if wanted is None:
        return tuple(there)
    chosen = parse_modalities(wanted)
    for modality in chosen:
        if modality not in there:
            raise MissingModalityError(
                f"this world has no {str(modality)!r}; choose from {[str(m) for m in there]}."
            )
    return tuple(modality for modality in there if modality in chosen)


def modality_space(spec: ModalitySpec) -> spaces.Box:
    """Return the space of one raw modality, with the shape and dtype of its ``spec``."""
    if isinstance(spec, AudioSpec):
        return spaces.Box(-1.0, 1.0, spec.shape, np.float32)
    if isinstance(spec, TextSpec):
        return spaces.Box(0, len(spec.vocabulary) - 1, spec.shape, np.int64)
    if isinstance(spec, VectorSpec):
        return spaces.Box(_bound(spec.low), _bound(spec.high))
    return spaces.Box(0, 255, spec.shape, np.uint8)  # image and video


def _bound(values: tuple[float, ...]) -> np.ndarray:
    """Return bounds ``(n,)`` float32, infinite where a number has none."""
    bound = np.array(values, np.float64)
    open_ended = np.abs(bound) >= UNBOUNDED
    return np.where(open_ended, np.copysign(np.inf, bound), bound).astype(np.float32)


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


def action_spec(space: spaces.Space[Any]) -> ActionSpec:
    """Return the spec of an action space that :func:`action_space` gives, without its names.

    Raises:
        ConfigurationError: it is another kind of space.
    """
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return ActionSpec("discrete", (int(space.n),))
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1 and not space.start.any():
        return ActionSpec("multidiscrete", tuple(space.nvec.tolist()))
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and space.dtype == np.float32:
        bounds = tuple(space.low.tolist()), tuple(space.high.tolist())
        return ActionSpec("box", space.shape, (), *bounds)
    raise ConfigurationError(
        f"the action space is {shown(space)}; use a Discrete or MultiDiscrete that counts from 0, "
        "or a Box of one dimension of float32."
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
    array = plain_array(value)
    if array is None:
        raise InvalidObservationError(
            f"the {key} of the observation is {shown(value)}; pass an array {spec.shape} (or "
            f"{(rows, *spec.shape)}) of {spec.dtype}."
        )
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


def plain_array(value: Any) -> np.ndarray | None:
    """Return ``value`` as an array; None if it is none, is ragged, or is masked."""
    if isinstance(value, np.ma.MaskedArray):  # asarray() would uncover what is masked
        return None
    try:
        return np.asarray(value)
    except Exception:  # a ragged list, a tensor on another device, any foreign object
        return None
