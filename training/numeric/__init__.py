"""Dyna for worlds of numbers: real steps, a vector dynamics, agents in its dreams, round by round."""

from .dyna import NumericDynaConfig, numeric_dyna

__all__ = ["NumericDynaConfig", "numeric_dyna"]
