"""Every error of this package; each says what was done, why it fails and what to type.

All are :class:`WorldGPTError`. Those that Gymnasium has a class for are that class too, so that
``except gymnasium.error.ResetNeeded`` works here as elsewhere.
"""

from __future__ import annotations

import gymnasium.error

from worldgpt_env.model.errors import (
    CheckpointError,
    CodecCollapseError,
    ConfigurationError,
    KnowledgeError,
    LockedError,
    MemoryFolderError,
    MissingHeadError,
    MissingModalityError,
    NonFiniteError,
    WorldGPTError,
    WriteError,
)

__all__ = [
    "CheckpointError",
    "ClosedEnvironmentError",
    "CodecCollapseError",
    "ConfigurationError",
    "ContractError",
    "EpisodeEndedError",
    "InvalidActionError",
    "InvalidObservationError",
    "InvalidOptionError",
    "InvalidSeedError",
    "KnowledgeError",
    "LockedError",
    "MemoryFolderError",
    "MissingDependencyError",
    "MissingHeadError",
    "MissingModalityError",
    "MissingStartStatesError",
    "NonFiniteError",
    "RenderModeError",
    "ResetNeededError",
    "UnknownModalityError",
    "WorldGPTError",
    "WorldMismatchError",
    "WriteError",
]


class ResetNeededError(WorldGPTError, gymnasium.error.ResetNeeded):
    """``step``, ``render``, ``fork`` or ``get_state`` was called before the first ``reset``."""


class EpisodeEndedError(ResetNeededError):
    """``step`` was called after the episode had ended."""


class ClosedEnvironmentError(WorldGPTError, gymnasium.error.ClosedEnvironmentError):
    """The environment was used after ``close``."""


class InvalidActionError(WorldGPTError, gymnasium.error.InvalidAction, ValueError):
    """An action lies outside the action space, or is no action at all."""


class InvalidObservationError(WorldGPTError, ValueError):
    """An observation to start from has a wrong shape, dtype or value."""


class InvalidOptionError(WorldGPTError, ValueError):
    """``reset(options=...)`` holds an unknown option, or a known one with an impossible value."""


class InvalidSeedError(WorldGPTError, gymnasium.error.Error, ValueError):
    """A seed is not a non-negative whole number."""


class UnknownModalityError(MissingModalityError):
    """A name is no modality at all (``MissingModalityError``: a modality that this world lacks)."""


class MissingStartStatesError(WorldGPTError, FileNotFoundError):
    """The model brings no start states, or none of the kind that was asked for."""


class RenderModeError(WorldGPTError, gymnasium.error.UnsupportedMode, ValueError):
    """``render`` was called without a render mode, or with one that does not exist."""


class MissingDependencyError(WorldGPTError, gymnasium.error.DependencyNotInstalled, ImportError):
    """An optional package is not installed."""


class WorldMismatchError(WorldGPTError, ValueError):
    """A model and a world, or two states, do not belong together."""


class ContractError(WorldGPTError, AssertionError):
    """A world, model or dream breaks the contract that :mod:`worldgpt_env.testing` checks."""
