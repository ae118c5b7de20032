"""Play: a learned world under one's own hands, and under those of a policy."""

from .session import PlayConfig, PlaySession, Status
from .window import play

__all__ = ["PlayConfig", "PlaySession", "Status", "play"]
