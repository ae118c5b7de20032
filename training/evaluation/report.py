"""The report of an evaluation: tables on the terminal, CSV, TensorBoard and a heat map on disk."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from worldgpt_env.model.safe_io import atomic_file, write_bytes, write_errors

from ..results_io import write_json
from ..tables import markdown_table, number
from .estimates import Estimates, show_estimate
from .observations import Score
from .plots import draw_skills
from .results import ALL, EvaluationResult

HEADINGS = {
    "cosine": "cos ×100",
    "copy": "copy ×100",
    "raw": "raw cos ×100",
    "raw_copy": "raw copy ×100",
    "mean_next": "mean next ×100",
    "nearest": "nearest ×100",
    "static": "static ×100",
    "retrieval": "retrieval@1",
    "retrieval_copy": "copy's",
    "skill": "skill over copying",
    "skill_allowed": "skill over the best allowed",
    "skill_static": "skill over static",
}
CSV_FIGURES = (*HEADINGS, "chance")
WHO = ("model", "copy", "codec")


def report(result: EvaluationResult) -> str:
    """Return the introduction and all tables."""
    parts = [f"{title}\n\n{table}" for title, table in tables(result).items()]
    return "\n\n".join([introduction(result), *parts])


def introduction(result: EvaluationResult) -> str:
    """Return what was evaluated, and how to read the brackets."""
    told = result.subject
    static = f"; static generator: {told.static}" if told.static else ""
    single = [name or "(no name)" for name, count in told.clusters.items() if count == 1]
    alone = f"; of one episode each, which adds no spread: {', '.join(single)}" if single else ""
    return (
        f"{len(told.models)} model{'s' * (len(told.models) > 1)} ({', '.join(told.models)}) on "
        f"{told.transitions} transitions of {told.episodes} episodes, split "
        f"{told.split!r} of {told.data}; baselines know {told.references} "
        f"training transitions{static}; retrieval among {told.candidates} next states of "
        f"the same scenario{alone}.\n[a, b]: 95 % over held-out episodes (cluster bootstrap); "
        "{a, b}: 95 % over models (Student's t)."
    )


def tables(result: EvaluationResult) -> dict[str, str]:
    """Return the tables of an evaluation by their titles, those without content left out."""
    found = {
        "Classes": class_table(result),
        "Classes, output by output": output_table(result),
        "Combinations": combination_table(result),
        "Scenarios: skill over copying": scenario_table(result, "skill"),
        "Scenarios: skill over the best allowed": scenario_table(result, "skill_allowed"),
        "Trained and never trained combinations": seen_table(result),
        "Decoded, on what changed": decoded_table(result),
        "Predictions per CPU-second": speed_table(result),
    }
    return {title: table for title, table in found.items() if table}


def class_table(result: EvaluationResult) -> str:
    """Return a row per class, and one over all combinations."""
    names = ["cosine", "copy", "raw", "raw_copy", "retrieval", "skill", "skill_allowed"]
    names += ["static", "skill_static"] if result.subject.static else []
    rows = [
        [_words(kind), f"{part.measured} of {part.combinations}", *_cells(part.estimates, names)]
        for kind, part in result.classes.items()
    ]
    return markdown_table(["class", "measured", *(HEADINGS[name] for name in names)], rows)


def output_table(result: EvaluationResult) -> str:
    """Return a row per class and output modality: modalities differ in how much copying leaves."""
    names = ["cosine", "copy", "mean_next", "nearest", "retrieval", "retrieval_copy"]
    names += ["skill", "skill_allowed"]
    rows = [
        [_words(kind), output, *_cells(part, names)]
        for kind, outputs in result.outputs.items()
        for output, part in outputs.items()
        if part
    ]
    return markdown_table(["class", "output", *(HEADINGS[name] for name in names)], rows)


def combination_table(result: EvaluationResult) -> str:
    """Return a row per combination."""
    names = ["cosine", "copy", "mean_next", "nearest", "retrieval", "skill", "skill_allowed"]
    rows = []
    for combination, part in result.combinations.items():
        best = ", ".join(dict.fromkeys(x.best_baseline for x in part.outputs.values()))
        start = [combination, "yes" if part.trained else "no", str(part.rows)]
        rows.append([*start, *_cells(part.estimates, names), best or "–"])
    header = ["combination", "trained", "n", *(HEADINGS[name] for name in names), "best allowed"]
    return markdown_table(header, rows)


def scenario_table(result: EvaluationResult, figure: str) -> str:
    """Return a row per scenario and a column per class; "" of one scenario alone."""
    rows = [
        [scenario or "(no name)", *(show_estimate(part.get(figure)) for part in classes.values())]
        for scenario, classes in result.scenarios.items()
    ]
    return markdown_table(["scenario", *map(_words, result.classes)], rows) if len(rows) > 1 else ""


def seen_table(result: EvaluationResult) -> str:
    """Return trained beside never trained combinations per class; "" if all are of one sort."""
    rows = []
    for kind, part in result.seen.items():
        counts, skill = f"{part.seen_combinations} / {part.unseen_combinations}", part.gaps["skill"]
        shown = (skill.seen, skill.unseen, skill.gap, part.gaps["skill_allowed"].gap)
        rows.append([_words(kind), counts, *map(show_estimate, shown)])
    total = result.seen[ALL]
    if not (total.seen_combinations and total.unseen_combinations):
        return ""
    header = ["class", "trained / never", "skill trained", "skill never", "gap"]
    return markdown_table([*header, "gap over the best allowed"], rows)


def decoded_table(result: EvaluationResult) -> str:
    """Return decoded scores per output and class, for the model, copying and the codec alone."""
    rows = [
        [output, name, _words(kind), *(number(getattr(x, who)) for who in WHO), str(x.rows)]
        for output, kinds in result.decoded.items()
        for kind, scores in kinds.items()
        for name, x in scores.items()
    ]
    header = ["output", "figure", "class", "model", "copy", "codec alone", "n"]
    return markdown_table(header, sorted(rows, key=lambda row: tuple(row[:2]))) if rows else ""


def speed_table(result: EvaluationResult) -> str:
    """Return embeddings alone beside decoded observations."""
    rates = result.speed.outputs if result.speed else {}
    rows = [
        [output, *(number(value, 2) for value in (part.embedding, part.decoded, part.ratio))]
        for output, part in rates.items()
    ]
    return markdown_table(["predicted", "embeddings", "decoded", "ratio"], rows) if rows else ""


def write_report(result: EvaluationResult, out: Path) -> None:
    """Write ``figures.json``, both CSV files, the tables, TensorBoard scalars and the heat map."""
    write_json(out / "figures.json", result.to_json())
    write_combinations(result, out / "combinations.csv")
    write_outputs(result, out / "outputs.csv")
    parts = [f"## {title}\n\n{table}\n" for title, table in tables(result).items()]
    write_bytes(out / "report.md", "\n".join([introduction(result) + "\n", *parts]).encode())
    with write_errors(out):
        write_scalars(result, out / "tensorboard")
    draw_skills(result, out / "skill.png")


def write_combinations(result: EvaluationResult, path: Path) -> None:
    """Write a line per combination: means over its outputs; empty where nothing was measured."""
    rows = (
        [name, part.kind, part.trained, part.rows, *_values(part.estimates)]
        for name, part in result.combinations.items()
    )
    _write_csv(path, ["combination", "class", "trained", "rows", *_columns()], rows)


def write_outputs(result: EvaluationResult, path: Path) -> None:
    """Write a line per combination and output, with its decoded scores."""
    outputs = [(n, c, o, x) for n, c in result.combinations.items() for o, x in c.outputs.items()]
    metrics = sorted({metric for *_, x in outputs for metric in x.decoded})
    rows = []
    for name, part, output, own in outputs:
        decoded = [own.decoded.get(metric, Score(None, None)) for metric in metrics]
        shown = [getattr(score, who) for score in decoded for who in WHO]
        start = [name, part.kind, part.trained, part.rows, output, own.best_baseline]
        rows.append([*start, *_values(own.estimates), *shown])
    header = ["combination", "class", "trained", "rows", "output", "best_baseline", *_columns()]
    _write_csv(path, header + [f"{metric}, {who}" for metric in metrics for who in WHO], rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with atomic_file(path) as draft, draft.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_scalars(result: EvaluationResult, folder: Path) -> None:
    """Write a scalar per class and per combination; the step is the number of the model."""
    groups: dict[str, Any] = {"classes": result.classes, "combinations": result.combinations}
    with SummaryWriter(str(folder)) as writer:
        for group, parts in groups.items():
            for name, part in parts.items():
                tag = re.sub(r"[^\w/.-]", "-", name.replace(">", "_to_"))  # as TensorBoard allows
                for figure in ("skill", "skill_allowed", "cosine", "retrieval"):
                    estimate = part.estimates.get(figure)
                    for step, value in enumerate(estimate.each if estimate else ()):
                        writer.add_scalar(f"{group}/{tag}/{figure}", value, step)


def _columns() -> list[str]:
    ends = ("", "_low", "_high", "_models_low", "_models_high")
    return [name + end for name in CSV_FIGURES for end in ends]


def _values(estimates: Estimates) -> list[float | None]:
    """Return value, bounds over episodes and bounds over models of every figure."""
    row: list[float | None] = []
    for name in CSV_FIGURES:
        if part := estimates.get(name):
            row += [part.value, *(part.episodes or (None, None)), *(part.models or (None, None))]
        else:
            row += [None] * 5
    return row


def _cells(estimates: Estimates, names: Sequence[str]) -> list[str]:
    """Return the figures called ``names``: cosines times 100, skills with their intervals."""
    found = []
    for name in names:
        scale, digits = (100, 1) if "×100" in HEADINGS[name] else (1, 2)
        shown = show_estimate(estimates.get(name), scale, digits, name.startswith("skill"))
        found.append(shown)
    return found


def _words(kind: str) -> str:
    return kind.replace("_", " to ") if kind != ALL else "all"
