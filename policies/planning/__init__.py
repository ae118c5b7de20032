"""Planners: agents that learn nothing and look ahead in a dream before every act.

Nothing heavy is imported until a name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalogue import build_planner
    from .cem import CEM, CEMConfig
    from .decomposition import Decomposition, DecompositionConfig
    from .language_model import LanguageModelProposer
    from .leaf import PolicyValue
    from .mission import MissionProposer
    from .mppi import MPPI, MPPIConfig
    from .planner import Planner, PlannerConfig
    from .random_shooting import RandomShooting
    from .subgoals import Place, ProposalError, Words
    from .waypoints import WaypointProposer

_HOME = {
    "CEM": "cem",
    "CEMConfig": "cem",
    "Decomposition": "decomposition",
    "DecompositionConfig": "decomposition",
    "LanguageModelProposer": "language_model",
    "MPPI": "mppi",
    "MPPIConfig": "mppi",
    "MissionProposer": "mission",
    "Place": "subgoals",
    "Planner": "planner",
    "PlannerConfig": "planner",
    "PolicyValue": "leaf",
    "ProposalError": "subgoals",
    "RandomShooting": "random_shooting",
    "WaypointProposer": "waypoints",
    "Words": "subgoals",
    "build_planner": "catalogue",
}

__all__ = [
    "CEM",
    "MPPI",
    "CEMConfig",
    "Decomposition",
    "DecompositionConfig",
    "LanguageModelProposer",
    "MPPIConfig",
    "MissionProposer",
    "Place",
    "Planner",
    "PlannerConfig",
    "PolicyValue",
    "ProposalError",
    "RandomShooting",
    "WaypointProposer",
    "Words",
    "build_planner",
]


def __getattr__(name: str) -> Any:
    """Import the module of ``name`` on first use."""
    if name not in _HOME:
        raise AttributeError(
            f"worldgpt_env.policies.planning has no {name!r}; there are {__all__}."
        )
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
