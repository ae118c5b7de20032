"""Every error a user of the model can meet; ``worldgpt_env.errors`` adds the environment's."""


class WorldGPTError(Exception):
    """Base of all errors of this package: what was done, why it fails, what to type."""


class ConfigurationError(WorldGPTError, ValueError):
    """A setting has a value that the model cannot be built with."""


class CheckpointError(WorldGPTError, OSError):
    """A checkpoint is missing, truncated, tampered with, or of another format."""


class WriteError(CheckpointError):
    """The disk is full, or the place not writable; what was there before is unchanged."""

    def __init__(self, path: object, reason: str) -> None:
        """Say that ``path`` could not be written, and the ``reason``."""
        super().__init__(
            f"{path} could not be written: {reason}. What was there before is unchanged; make "
            "room, or choose another place."
        )
        self.reason = reason


class LockedError(WorldGPTError, OSError):
    """Another process writes to the same folder."""


class CodecCollapseError(WorldGPTError, RuntimeError):
    """A codec maps different observations to the same few codes, so no dynamics can be learned."""


class MissingModalityError(WorldGPTError, KeyError):
    """A modality was asked for, or is needed, that this model or batch does not have."""

    def __str__(self) -> str:
        """Return the plain sentence (``KeyError`` would print its ``repr``)."""
        return str(self.args[0]) if self.args else ""


class MissingHeadError(WorldGPTError, RuntimeError):
    """The model was trained without the head (reward, termination, ensemble) that is asked for."""


class NonFiniteError(WorldGPTError, FloatingPointError):
    """The model produced NaN or infinity; nothing of it is handed on."""


class MemoryFolderError(WorldGPTError, OSError):
    """The folder that a working memory puts its older steps into cannot be used."""


class KnowledgeError(WorldGPTError, ValueError):
    """A knowledge base is empty, or belongs to another model or another world."""


class UntrainedCombinationWarning(UserWarning):
    """A model is asked for a combination of modalities that its training never met."""


class OlderSaveWarning(UserWarning):
    """The newest save of a run is missing or damaged; the run goes on from the one before it."""
