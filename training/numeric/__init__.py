"""Dyna for worlds of numbers: real steps, a dynamics of them, agents in its dreams, in rounds."""

from .config import NumericDynaConfig
from .dyna import numeric_dyna

__all__ = ["NumericDynaConfig", "numeric_dyna"]
