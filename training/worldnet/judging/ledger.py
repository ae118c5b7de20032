"""The ledger of an evaluation: all its figures as plain JSON values, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worldgpt_env.model.curriculum import Combination, Kind

from .judge import Cell, Compared
from .metrics import average
from .summary import Draws, Estimate, Summary, with_skills

ALL = "all"  # the name of the row over all classes
KEPT_DRAWS = ("skill", "skill_allowed")  # what comparisons are made of


def build_figures(
    about: Mapping[str, Any],
    chosen: Sequence[Combination],
    trained: Mapping[Combination, bool],
    cells: Sequence[Sequence[Cell]],
    summaries: Sequence[Summary],
    apart: Mapping[str, Sequence[Summary]],
    speed: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return all figures.

    Args:
        about: what was judged; of it ``modalities`` is needed here.
        chosen: the combinations.
        trained: which of them training has met.
        cells: of each model.
        summaries: of each model.
        apart: per scenario the summaries of each model.
        speed: predictions per CPU-second, where they were measured.

    Returns:
        The entries of ``about``; ``classes``, ``combinations``, ``outputs`` (per class and output
        modality), ``scenarios``, ``seen`` and ``decoded`` with the fields of :class:`Estimate` per
        figure, None where nothing could be measured; ``draws`` for comparisons; ``speed``.
    """
    groups = classes_of(chosen)
    figures = {
        **about,
        "classes": {
            name: _measured(members, summaries[0]) | _estimates(members, summaries)
            for name, members in groups.items()
        },
        "combinations": {c.name: _combination(c, trained[c], cells, summaries) for c in chosen},
        "outputs": {
            name: {
                output: estimates([s.over_output(members, output) for s in summaries])
                for output in about["modalities"]
            }
            for name, members in groups.items()
        },
        "scenarios": {
            scenario: {name: _estimates(members, parts) for name, members in groups.items()}
            for scenario, parts in apart.items()
        },
        "seen": {name: _seen(members, trained, summaries) for name, members in groups.items()},
        "decoded": _decoded([cell for part in cells for cell in part]),
        "draws": {
            name: _kept([summary.over(members) for summary in summaries])
            for name, members in groups.items()
        },
    }
    return figures | {"speed": speed}


def classes_of(chosen: Sequence[Combination]) -> dict[str, list[Combination]]:
    """Return the combinations of each class that has some, and of all together."""
    groups = {str(kind): [c for c in chosen if c.kind is kind] for kind in Kind}
    return {name: members for name, members in groups.items() if members} | {ALL: list(chosen)}


def estimates(draws: Sequence[Draws]) -> dict[str, Any]:
    """Return each figure of the draws of every model as JSON values, None where there is none."""
    names = dict.fromkeys(name for part in draws for name in part)
    found = {n: Estimate.of([part[n] for part in draws if n in part]) for n in names}
    return {name: None if e is None else e.to_json() for name, e in found.items()}


def _estimates(members: Sequence[Combination], summaries: Sequence[Summary]) -> dict[str, Any]:
    return estimates([summary.over(members) for summary in summaries])


def _measured(members: Sequence[Combination], summary: Summary) -> dict[str, Any]:
    measured = sum(c in summary.combinations for c in members)
    return {"combinations": len(members), "measured": measured}


def _combination(
    combination: Combination,
    trained: bool,
    cells: Sequence[Sequence[Cell]],
    summaries: Sequence[Summary],
) -> dict[str, Any]:
    own = [[c for c in part if c.combination == combination] for part in cells]
    outputs = {}
    for number, output in enumerate(combination.outputs):
        name = str(output)
        best = {summary.best[combination][name] for summary in summaries}
        outputs[name] = {
            **estimates([with_skills(s.outputs[combination][name]) for s in summaries]),
            "best_baseline": "/".join(sorted(best)),
            "decoded": _merge([part[number] for part in own]),
        }
    return {
        "class": str(combination.kind),
        "trained": trained,
        "rows": len(own[0][0].rows),
        **_estimates([combination], summaries),
        "outputs": outputs,
    }


def _seen(
    members: Sequence[Combination],
    trained: Mapping[Combination, bool],
    summaries: Sequence[Summary],
) -> dict[str, Any]:
    """Return figures of trained and untrained combinations, and the gap between them."""
    sides = {
        name: [c for c in members if trained[c] is seen]
        for name, seen in (("seen", True), ("unseen", False))
    }
    found: dict[str, Any] = {f"{name}_combinations": len(part) for name, part in sides.items()}
    draws = {name: [s.over(part) for s in summaries] for name, part in sides.items()}
    pairs = list(zip(draws["seen"], draws["unseen"], strict=True))
    for figure in KEPT_DRAWS:
        known = {
            n: [part[figure] for part in parts if figure in part] for n, parts in draws.items()
        }
        known["gap"] = [a[figure] - b[figure] for a, b in pairs if figure in a and figure in b]
        values = {name: Estimate.of(parts) for name, parts in known.items()}
        found[figure] = {n: None if e is None else e.to_json() for n, e in values.items()}
    return found


def _decoded(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the raw figures per class and output, over all combinations and models."""
    found: dict[str, Any] = {}
    for kind in Kind:
        for cell in cells:
            if cell.combination.kind is kind and cell.decoded:
                found.setdefault(str(cell.output), {}).setdefault(str(kind), []).append(cell)
    return {
        output: {kind: _merge(parts) for kind, parts in kinds.items()}
        for output, kinds in found.items()
    }


def _merge(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the raw figures of all rows of ``cells`` together."""
    names = dict.fromkeys(name for cell in cells for name in cell.decoded)
    merged = {}
    for name in names:
        parts: list[Compared] = [cell.decoded[name] for cell in cells if name in cell.decoded]
        merged[name] = {
            who: average(name, np.concatenate([getattr(part, who) for part in parts]))
            for who in ("model", "copy", "codec")
        } | {"rows": sum(len(part.model) for part in parts)}
    return merged


def _kept(draws: Sequence[Draws]) -> dict[str, list[float]]:
    """Return the draws, averaged over models, that a comparison needs."""
    found = {}
    for figure in KEPT_DRAWS:
        parts = [part[figure] for part in draws if figure in part]
        if len(parts) == len(draws):
            found[figure] = [round(float(x), 5) for x in np.mean(parts, axis=0)]
    return found
