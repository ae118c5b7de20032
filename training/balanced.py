"""Balanced draws: rows of all groups alike, as many of each as there are or are due to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def balanced_rows(groups: Sequence[str] | np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return at most ``count`` rows ``(n,)`` int64, ascending, shared out evenly over groups.

    What a small group cannot fill is due to the larger ones.

    Args:
        groups: ``(N,)``, the group of each row, as its scenario.
        count: rows in all.
        seed: the same seed draws the same rows.
    """
    names, generator = np.asarray(groups), np.random.default_rng(seed)
    pools = [generator.permutation(np.flatnonzero(names == name)) for name in np.unique(names)]
    rows = np.arange(0)
    for number, pool in enumerate(sorted(pools, key=len)):
        due = (count - len(rows)) // (len(pools) - number)
        rows = np.concatenate([rows, pool[:due]])
    return np.sort(rows)
