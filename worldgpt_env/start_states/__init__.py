"""Where episodes begin: recorded states, found by number or by words, or imagined from words."""

from .starter import OPTIONS, ResetOptions, Start, Starter
from .states import FILE_NAME, KINDS, StartStates

__all__ = ["FILE_NAME", "KINDS", "OPTIONS", "ResetOptions", "Start", "StartStates", "Starter"]
