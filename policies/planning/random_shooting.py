"""RandomShooting: the best of many random sequences."""

from __future__ import annotations

from .planner import Planner


class RandomShooting(Planner):
    """Draws candidates evenly and takes the best; what is left of the last plan is one of them.

    What any cleverer planner with as many imagined steps must beat.
    """
