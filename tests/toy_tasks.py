"""Tasks for processes of their own; nothing heavy is imported with them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def double(number: int, report: Callable[[int], None]) -> int:
    """Return twice ``number``; 3 is refused, and 4 dies."""
    report(1)
    if number == 3:
        raise ValueError("three is refused")
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number
