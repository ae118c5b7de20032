"""Dynamics of worlds of numbers: members that predict what changes, is paid, and ends."""

from .actions import ActionEncoder
from .ensemble_dynamics import VectorDynamics, VectorDynamicsConfig, VectorStep
from .fitting import FitConfig, FitResult, fit
from .transitions import VectorTransitions
from .world_model import VectorWorldModel

__all__ = [
    "ActionEncoder",
    "FitConfig",
    "FitResult",
    "VectorDynamics",
    "VectorDynamicsConfig",
    "VectorStep",
    "VectorTransitions",
    "VectorWorldModel",
    "fit",
]
