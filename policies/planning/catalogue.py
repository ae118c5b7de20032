"""Planners by name, with settings as the command line gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.checkpoint import resolve
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.simulator import SimulatorConfig
from worldgpt_env.start_states import StartStates

from ..store import load_policy, read_policy
from .cem import CEM
from .decomposition import Decomposition
from .language_model import LanguageModelProposer
from .leaf import PolicyValue
from .mission import MissionProposer
from .mppi import MPPI
from .planner import Planner
from .proposer import Proposer
from .random_shooting import RandomShooting
from .waypoints import WaypointProposer

PLANNERS: dict[str, type[Planner]] = {
    "random-shooting": RandomShooting,
    "cem": CEM,
    "mppi": MPPI,
    "decomposition": Decomposition,
}

COGNITION = ("memory", "knowledge")
"""Settings that are those of the dream."""

WAY = ("every", "near")
"""Settings of the proposer ``"way"``."""


def build_planner(
    name: str, model: WorldGPT, settings: Mapping[str, Any] | None = None, seed: int = 0
) -> Planner:
    """Return the planner ``name`` for ``model``.

    Args:
        name: one of :data:`PLANNERS`.
        model: the world model, loaded from disk if its start states are needed.
        settings: fields of the planner's configuration; ``value``, the folder of a policy whose
            value function counts at the end of a plan; ``memory`` and ``knowledge`` of the dream,
            as in :class:`SimulatorConfig`; and for ``"decomposition"`` the ``goal`` in words and
            the ``proposer``: ``"mission"`` (default), ``"way"`` (to the reward without a goal; with
            its ``every`` and ``near``), or name or folder of a language model.
        seed: if the settings name none.

    Raises:
        ConfigurationError: the name or a setting is unknown.
    """
    if name not in PLANNERS:
        raise ConfigurationError(f"there is no planner {name!r}; choose one of {list(PLANNERS)}.")
    planner, rest = PLANNERS[name], {"seed": seed, **(settings or {})}
    value = _value(str(rest.pop("value"))) if "value" in rest else None
    minded = {part: rest.pop(part) for part in COGNITION if part in rest}
    dream = SimulatorConfig(temperature=0.0, **minded)
    told: dict[str, Any] = {}
    if planner is Decomposition:
        told["goal"] = str(rest.pop("goal", ""))
        told["proposer"] = _proposer(
            str(rest.pop("proposer", "mission")), model, rest, told["goal"]
        )
    fields = planner.config_class.__dataclass_fields__
    unknown = sorted(set(rest) - set(fields))
    if unknown:
        more = ["goal", "proposer", *WAY] if told else []
        raise ConfigurationError(
            f"planner {name!r} has no setting {', '.join(unknown)}; "
            f"it has {', '.join([*fields, 'value', *COGNITION, *more])}."
        )
    config = planner.config_class(**rest)
    return planner(model, config=config, value=value, dream=dream, **told)


def _value(folder: str) -> PolicyValue:
    return PolicyValue(load_policy(folder), read_policy(folder).obs_mode)


def _proposer(name: str, model: WorldGPT, settings: dict[str, Any], goal: str) -> Proposer:
    """Return the proposer ``name``; what it is told of ``settings`` is taken out of them."""
    if name == "mission":
        return MissionProposer()
    if name == "way":
        states = StartStates.load(resolve(model.config._name_or_path))
        told = {part: settings.pop(part) for part in WAY if part in settings}
        return WaypointProposer(states, "words" if goal else "reward", **told)
    return LanguageModelProposer(name)
