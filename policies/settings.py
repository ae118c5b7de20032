"""Spaces and hyper-parameters of a Stable-Baselines3 algorithm as plain JSON, and back.

Classes are written by a name out of a fixed list, so that reading a file can name no other code.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.common.type_aliases import TrainFreq
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule

from worldgpt_env.model.arguments import near, shown
from worldgpt_env.model.errors import CheckpointError, ConfigurationError
from worldgpt_env.model.safe_json import shorten

from .extractors import LatentExtractor, MultimodalExtractor
from .standardised import StandardisedExtractor

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "ppo": PPO,
    "a2c": A2C,
    "dqn": DQN,
    "sac": SAC,
    "td3": TD3,
}

_CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *(torch.nn.Tanh, torch.nn.ReLU, torch.nn.ELU, torch.nn.SiLU, torch.nn.GELU),
        *(torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD),
        *(FlattenExtractor, CombinedExtractor, NatureCNN, LatentExtractor, MultimodalExtractor),
        StandardisedExtractor,
    )
}

# Set anew by whoever loads, or made by the algorithm itself from the others.
_NOT_STORED = {
    *("self", "policy", "env", "tensorboard_log", "verbose", "device", "stats_window_size"),
    *("_init_setup_model", "rms_prop_eps", "use_rms_prop", "optimize_memory_usage"),
    *("rollout_buffer_class", "rollout_buffer_kwargs"),
    *("replay_buffer_class", "replay_buffer_kwargs"),
}


def algorithm_name(algorithm: BaseAlgorithm) -> str:
    """Return the key of :data:`ALGORITHMS` that ``algorithm`` is an instance of."""
    for name, cls in ALGORITHMS.items():
        if type(algorithm) is cls:
            return name
    raise ConfigurationError(
        f"{type(algorithm).__name__} cannot be stored; there are {sorted(ALGORITHMS)}."
    )


def policy_name(algorithm: BaseAlgorithm) -> str:
    """Return the Stable-Baselines3 name of the policy class, as ``"MultiInputPolicy"``."""
    for name, cls in algorithm.policy_aliases.items():
        if algorithm.policy_class is cls:
            return name
    raise ConfigurationError(
        f"the policy class {algorithm.policy_class.__name__} is your own and cannot be stored; "
        f"build the algorithm with one of {sorted(algorithm.policy_aliases)}."
    )


def settings_to_json(algorithm: BaseAlgorithm) -> dict[str, Any]:
    """Return the constructor arguments that rebuild ``algorithm``, as JSON values."""
    names = set(inspect.signature(type(algorithm)).parameters) - _NOT_STORED
    return {name: _value_to_json(name, getattr(algorithm, name)) for name in sorted(names)}


def settings_from_json(data: Mapping[str, Any], algorithm: type[BaseAlgorithm]) -> dict[str, Any]:
    """Return the constructor arguments of ``algorithm`` written by :func:`settings_to_json`.

    Raises:
        CheckpointError: one is unknown, or of another kind than its default.
    """
    parameters = inspect.signature(algorithm).parameters
    unknown = sorted(set(data) - (set(parameters) - _NOT_STORED))
    if unknown:
        raise CheckpointError(
            f"the policy file holds settings that {algorithm.__name__} lacks: {shorten(unknown)}."
        )
    try:
        check_settings_of(algorithm, data)
    except ConfigurationError as error:
        raise CheckpointError(f"the policy file is damaged: {error}") from error
    return {name: _value_from_json(value) for name, value in data.items()}


def check_settings_of(algorithm: type[BaseAlgorithm], settings: Mapping[str, Any]) -> None:
    """Refuse settings that ``algorithm`` lacks, or whose values are of another kind.

    Raises:
        ConfigurationError: naming one.
    """
    parameters = inspect.signature(algorithm).parameters
    for name, value in settings.items():
        if name not in parameters:
            known = near(name, parameters)
            raise ConfigurationError(f"{algorithm.__name__} has no setting {name!r}{known}.")
        _check_kind(name, value, parameters[name].default)


def _check_kind(name: str, value: Any, default: Any) -> None:
    """Refuse a number, flag or text that is another kind of value than its ``default``."""
    kinds: dict[type, Any] = {bool: bool, int: int, float: (int, float)}
    kind = kinds.get(type(default))
    if kind is None or not isinstance(value, bool | int | float | str):
        return  # a class, a schedule or nothing; what is "auto" may be a number too
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise ConfigurationError(f"the setting {name} is {shown(value)}; it is like {default!r}.")
    if kind is int and not -1 <= value < 2**31:
        raise ConfigurationError(f"the setting {name} is {value}; it is from -1 to {2**31 - 1}.")


def _value_to_json(name: str, value: Any) -> Any:
    """Return one setting as JSON; schedules and classes become tagged objects."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, FloatSchedule):
        return _value_to_json(name, value.value_schedule)
    if isinstance(value, ConstantSchedule):
        return float(value.val)
    if isinstance(value, LinearSchedule):
        return {"linear": [value.start, value.end, value.end_fraction]}
    if isinstance(value, TrainFreq):
        return {"every": [value.frequency, value.unit.value]}
    if isinstance(value, (list, tuple)):
        return [_value_to_json(name, item) for item in value]
    if isinstance(value, Mapping):
        return {"map": {str(key): _value_to_json(name, item) for key, item in value.items()}}
    if isinstance(value, type) and _CLASSES.get(value.__name__) is value:
        return {"class": value.__name__}
    raise ConfigurationError(
        f"the setting {name}={value!r} cannot be written as JSON; use a number, a LinearSchedule, "
        f"or one of the classes {sorted(_CLASSES)}."
    )


def _value_from_json(value: Any) -> Any:
    """Return the setting written by :func:`_value_to_json`."""
    if isinstance(value, list):
        return [_value_from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise CheckpointError(f"the policy file holds the unknown setting {shorten(value)}.")
    kind, content = next(iter(value.items()))
    if kind == "linear":
        return LinearSchedule(*content)
    if kind == "every":
        return tuple(content)
    if kind == "map":
        return {key: _value_from_json(item) for key, item in content.items()}
    if kind == "class" and isinstance(content, str) and content in _CLASSES:
        return _CLASSES[content]
    raise CheckpointError(f"the policy file holds the unknown setting {shorten(value)}.")


def space_to_json(space: spaces.Space) -> dict[str, Any]:
    """Return a Box, Discrete, MultiDiscrete, MultiBinary or Dict of these as JSON values."""
    if isinstance(space, spaces.Dict):
        return {"dict": {key: space_to_json(item) for key, item in space.spaces.items()}}
    if isinstance(space, spaces.Discrete):
        return {"discrete": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"multidiscrete": space.nvec.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"multibinary": space.n if isinstance(space.n, int) else list(space.n)}
    if isinstance(space, spaces.Box):
        low, high = (_bound_to_json(bound) for bound in (space.low, space.high))
        return {"box": list(space.shape), "low": low, "high": high, "dtype": space.dtype.name}
    raise ConfigurationError(f"the space {space} cannot be written as JSON.")


_DTYPES = {"bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"}
MOST_NUMBERS = 2**26
"""Numbers of a space at most: one observation of that size is a mistake, and fills the memory."""


def space_from_json(data: Mapping[str, Any]) -> spaces.Space:
    """Return the space written by :func:`space_to_json`."""
    if "dict" in data:
        # Keywords stay in their order, in which features are joined; a plain dict is sorted.
        parts: dict[str, Any] = {k: space_from_json(part) for k, part in data["dict"].items()}
        return spaces.Dict(**parts)
    if "discrete" in data:
        return spaces.Discrete(data["discrete"], start=data["start"])
    if "multidiscrete" in data:
        return spaces.MultiDiscrete(data["multidiscrete"])
    if "multibinary" in data:
        return spaces.MultiBinary(data["multibinary"])
    if "box" in data:
        shape = tuple(data["box"])
        if data["dtype"] not in _DTYPES or math.prod(shape) > MOST_NUMBERS:
            raise CheckpointError(
                f"the policy file holds a space of shape {shorten(shape)} and type "
                f"{shorten(data['dtype'])}; known are {sorted(_DTYPES)} of up to {MOST_NUMBERS} "
                "numbers."
            )
        dtype = np.dtype(data["dtype"])
        low, high = (_bound_from_json(data[key], shape, dtype) for key in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    raise CheckpointError(f"the policy file holds the unknown space {shorten(dict(data))}.")


def _bound_to_json(bound: np.ndarray) -> str | list[str]:
    """Return a bound as text (JSON has no infinity): one word where all numbers are equal."""
    flat = [repr(number) for number in bound.ravel().tolist()]
    return flat[0] if len(set(flat)) == 1 else flat


def _bound_from_json(data: str | list[str], shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return the bound written by :func:`_bound_to_json`, ``shape`` of ``dtype``."""
    numbers = [data] * int(np.prod(shape)) if isinstance(data, str) else data
    parse = int if np.issubdtype(dtype, np.integer) else float
    return np.array([parse(number) for number in numbers], dtype).reshape(shape)
