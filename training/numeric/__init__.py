"""Dyna for worlds of numbers: real steps, a dynamics of them, agents in its dreams, in rounds."""

from .dyna import NumericDynaConfig, numeric_dyna

__all__ = ["NumericDynaConfig", "numeric_dyna"]
