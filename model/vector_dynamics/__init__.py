"""Dynamics of worlds of numbers: members that predict what changes, is paid, and ends."""

from .actions import ActionEncoder
from .ensemble_dynamics import VectorDynamics, VectorDynamicsConfig, VectorStep
from .fitting import FitConfig, FitResult, fit
from .storage import load_dynamics, save_dynamics
from .transitions import VectorTransitions

__all__ = [
    "ActionEncoder",
    "FitConfig",
    "FitResult",
    "VectorDynamics",
    "VectorDynamicsConfig",
    "VectorStep",
    "VectorTransitions",
    "fit",
    "load_dynamics",
    "save_dynamics",
]
