"""Dynamics of worlds that are numbers alone: members that predict what changes, and when it ends."""

from .actions import ActionEncoder
from .fitting import FitConfig, FitResult, fit
from .storage import load_dynamics, save_dynamics
from .transitions import VectorTransitions
from .vector_dynamics import VectorDynamics, VectorDynamicsConfig, VectorStep

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
