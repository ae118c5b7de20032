"""Time that was spent: on the clock, and by processors."""

from __future__ import annotations

import resource
import time


class Stopwatch:
    """Counts from where it is made; processor time includes games and workers that have ended."""

    def __init__(self) -> None:
        """Begin."""
        self._clock, self._processor = time.perf_counter(), _processor_seconds()

    def figures(self) -> dict[str, float]:
        """Return ``seconds`` and ``cpu_seconds`` since the beginning."""
        return {
            "seconds": round(time.perf_counter() - self._clock, 2),
            "cpu_seconds": round(_processor_seconds() - self._processor, 2),
        }


def _processor_seconds() -> float:
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)
