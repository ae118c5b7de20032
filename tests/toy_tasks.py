"""Tasks for processes of their own; nothing heavy is imported with them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path


def double(number: int, report: Callable[[int], None]) -> int:
    """Return twice ``number``; 3 is refused, and 4 dies."""
    report(1)
    if number == 3:
        raise ValueError("three is refused")
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def talk(folder: str, report: Callable[[int], None]) -> None:
    """Report ten times a second for a minute; tell in ``folder`` that it has begun and ended."""
    (Path(folder) / "begun").write_text(str(os.getpid()))
    try:
        for _ in range(600):
            time.sleep(0.1)
            report(1)
    finally:
        (Path(folder) / "cleaned up").touch()
