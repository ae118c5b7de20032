"""How well models predict step after step, by what they read of their memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..results_io import Result
from ..tables import markdown_table
from .estimates import Bootstrap, Draws, Estimates, average_draws, estimate, show_estimate
from .metrics import skill
from .results import ALL
from .sequence_rollout import StepScores

MODES = {"shown": "shown the real state at every step", "open": "in open loop"}


@dataclass(frozen=True)
class SequencesResult(Result):
    """What was evaluated, and the estimates.

    Of every mode, step, reading and output (each modality and ``"all"``, where they count the same)
    there are ``cosine``, ``copy``, ``skill`` and ``difference``: the cosine less that of the first
    reading.
    """

    models: tuple[str, ...]  # of one recipe, which differ in their seeds
    data: str  # where the sequences are
    split: str  # of which they are held out
    contexts: int  # remembered transitions that were read
    readings: tuple[str, ...]
    sequences: int
    episodes: int
    modes: dict[str, dict[int, dict[str, dict[str, Estimates]]]]

    def table(self, mode: str, output: str = ALL) -> str:
        """Return a row per step: the cosine of each reading, copying, and what readings add."""
        first, *others = self.readings
        header = ["step", "copy ×100", *(f"{name} ×100" for name in self.readings)]
        header += [f"{name} less {first}" for name in others]
        rows = []
        for step, parts in self.modes[mode].items():
            if output in parts[first]:
                plain = [parts[first][output]["copy"]]
                plain += [parts[name][output]["cosine"] for name in self.readings]
                row = [str(step), *(show_estimate(x, 100, 1, intervals=False) for x in plain)]
                gains = [parts[name][output]["difference"] for name in others]
                rows.append(row + [show_estimate(x, 100, 1, sign="+") for x in gains])
        return markdown_table(header, rows)


def report(result: SequencesResult) -> str:
    """Return a table per mode, under what was evaluated."""
    introduction = (
        f"{len(result.models)} models on {result.sequences} sequences of {result.episodes} "
        f"episodes, split {result.split!r} of {result.data}; {result.contexts} remembered "
        "transitions are read.\n[a, b]: 95 % over episodes (cluster bootstrap); {a, b}: 95 % over "
        "models (Student's t)."
    )
    tables = [f"Cosine {words}\n\n{result.table(mode)}" for mode, words in MODES.items()]
    return "\n\n".join([introduction, *tables])


def step_draws(step: StepScores, bootstrap: Bootstrap) -> dict[str, Draws]:
    """Return the draws of ``cosine`` and ``copy`` per modality that was seen, and over all."""
    outputs = {
        str(modality): {
            "cosine": bootstrap.mean(scores),
            "copy": bootstrap.mean(step.copy[modality]),
        }
        for modality, scores in step.cosine.items()
        if np.isfinite(scores).any()
    }
    return {ALL: average_draws(outputs.values()), **outputs}


def compare_readings(
    parts: Mapping[str, Sequence[Mapping[str, Draws]]],
) -> dict[str, dict[str, Estimates]]:
    """Return the estimates of each reading, and how its cosine differs from the first's.

    Args:
        parts: per reading, of each model and output, what :func:`step_draws` gives.
    """
    first = next(iter(parts.values()))
    found: dict[str, dict[str, Estimates]] = {}
    for reading, models in parts.items():
        found[reading] = {}
        for output in models[0]:
            draws: list[Draws] = []
            for model, other in zip(models, first, strict=True):
                own = dict(model[output])
                own["skill"] = skill(own["cosine"], own["copy"])
                if models is not first:
                    own["difference"] = own["cosine"] - other[output]["cosine"]
                draws.append(own)
            found[reading][output] = estimate(draws)
    return found
