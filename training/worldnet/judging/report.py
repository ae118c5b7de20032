"""The report of an evaluation: tables on the terminal, CSV, TensorBoard and a heat map on disk."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from ...figures import write_json
from ...tables import markdown_table, number
from .heatmap import save_heatmap
from .ledger import ALL

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
HUNDREDFOLD = ("cosine", "copy", "raw", "raw_copy", "mean_next", "nearest", "static")
CSV_FIGURES = (*HEADINGS, "chance")
WHO = ("model", "copy", "codec")


def print_report(figures: Mapping[str, Any]) -> None:
    """Print everything worth a first look."""
    print(introduction(figures))
    for title, table in tables(figures).items():
        print(f"\n{title}\n\n{table}")


def introduction(figures: Mapping[str, Any]) -> str:
    """Return what was judged, and how to read the brackets."""
    models = figures["models"]
    static = f"; static generator: {figures['static']}" if figures["static"] else ""
    single = [name or "(no name)" for name, count in figures["clusters"].items() if count == 1]
    alone = f"; of one episode each, which adds no spread: {', '.join(single)}" if single else ""
    return (
        f"{len(models)} model{'s' * (len(models) > 1)} ({', '.join(models)}) on "
        f"{figures['transitions']} transitions of {figures['episodes']} episodes, split "
        f"{figures['split']!r} of {figures['data']}; baselines know {figures['references']} "
        f"training transitions{static}; retrieval among {figures['candidates']} next states of "
        f"the same scenario{alone}.\n[a, b]: 95 % over held-out episodes (cluster bootstrap); "
        "{a, b}: 95 % over models (Student's t)."
    )


def tables(figures: Mapping[str, Any]) -> dict[str, str]:
    """Return the tables of an evaluation by their titles, those without content left out."""
    found = {
        "Classes": class_table(figures),
        "Classes, output by output": output_table(figures),
        "Combinations": combination_table(figures),
        "Scenarios: skill over copying": scenario_table(figures, "skill"),
        "Scenarios: skill over the best allowed": scenario_table(figures, "skill_allowed"),
        "Trained and never trained combinations": seen_table(figures),
        "Decoded, on what changed": decoded_table(figures),
        "Predictions per CPU-second": speed_table(figures),
    }
    return {title: table for title, table in found.items() if table}


def class_table(figures: Mapping[str, Any]) -> str:
    """Return a row per class, and one over all combinations."""
    names = ["cosine", "copy", "raw", "raw_copy", "retrieval", "skill", "skill_allowed"]
    if figures["static"]:
        names += ["static", "skill_static"]
    rows = [
        [_words(kind), f"{part['measured']} of {part['combinations']}"]
        + [_show(part.get(name), name, short=True) for name in names]
        for kind, part in figures["classes"].items()
    ]
    return markdown_table(["class", "measured", *(HEADINGS[name] for name in names)], rows)


def output_table(figures: Mapping[str, Any]) -> str:
    """Return a row per class and output modality: modalities differ in how much copying leaves."""
    names = ["cosine", "copy", "mean_next", "nearest", "retrieval", "retrieval_copy"]
    names += ["skill", "skill_allowed"]
    rows = [
        [_words(kind), output, *(_show(part.get(name), name, short=True) for name in names)]
        for kind, outputs in figures["outputs"].items()
        for output, part in outputs.items()
        if part
    ]
    return markdown_table(["class", "output", *(HEADINGS[name] for name in names)], rows)


def combination_table(figures: Mapping[str, Any]) -> str:
    """Return a row per combination."""
    names = ["cosine", "copy", "mean_next", "nearest", "retrieval", "skill", "skill_allowed"]
    rows = []
    for combination, part in figures["combinations"].items():
        best = ", ".join(dict.fromkeys(o["best_baseline"] for o in part["outputs"].values()))
        cells = [_show(part.get(name), name, short=True) for name in names]
        trained = "yes" if part["trained"] else "no"
        rows.append([combination, trained, str(part["rows"]), *cells, best or "–"])
    header = ["combination", "trained", "n", *(HEADINGS[name] for name in names), "best allowed"]
    return markdown_table(header, rows)


def scenario_table(figures: Mapping[str, Any], figure: str) -> str:
    """Return a row per scenario and a column per class."""
    kinds = list(figures["classes"])
    rows = [
        [scenario or "(no name)", *(_show(part[kind].get(figure), figure) for kind in kinds)]
        for scenario, part in figures["scenarios"].items()
    ]
    return markdown_table(["scenario", *map(_words, kinds)], rows) if len(rows) > 1 else ""


def seen_table(figures: Mapping[str, Any]) -> str:
    """Return trained beside never trained combinations per class; "" if all are of one sort."""
    rows = []
    for kind, part in figures["seen"].items():
        counts = [part["seen_combinations"], part["unseen_combinations"]]
        shown = [_show(part["skill"][n], "skill") for n in ("seen", "unseen", "gap")]
        gap = _show(part["skill_allowed"]["gap"], "skill_allowed")
        rows.append([_words(kind), f"{counts[0]} / {counts[1]}", *shown, gap])
    total = figures["seen"][ALL]
    if not (total["seen_combinations"] and total["unseen_combinations"]):
        return ""
    header = ["class", "trained / never", "skill trained", "skill never", "gap"]
    return markdown_table([*header, "gap over the best allowed"], rows)


def decoded_table(figures: Mapping[str, Any]) -> str:
    """Return raw figures per output and class, for the model, copying and the codec alone."""
    rows = [
        [output, name, _words(kind), *(number(part[who]) for who in WHO), str(part["rows"])]
        for output, kinds in figures["decoded"].items()
        for kind, merged in kinds.items()
        for name, part in merged.items()
    ]
    header = ["output", "figure", "class", "model", "copy", "codec alone", "n"]
    return markdown_table(header, sorted(rows, key=lambda row: tuple(row[:2]))) if rows else ""


def speed_table(figures: Mapping[str, Any]) -> str:
    """Return embeddings alone beside decoded observations."""
    rows = [
        [output, *(number(part[n], 2) for n in ("embedding", "decoded", "ratio"))]
        for output, part in (figures["speed"] or {}).items()
        if output != "rows"
    ]
    header = ["predicted", "embeddings", "decoded", "ratio"]
    return markdown_table(header, rows) if rows else ""


def write_report(figures: Mapping[str, Any], out: Path) -> None:
    """Write ``figures.json``, both CSV files, the tables, TensorBoard scalars and the heat map."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "figures.json", dict(figures))
    write_combinations(figures, out / "combinations.csv")
    write_outputs(figures, out / "outputs.csv")
    parts = [f"## {title}\n\n{table}\n" for title, table in tables(figures).items()]
    (out / "report.md").write_text("\n".join([introduction(figures) + "\n", *parts]))
    write_scalars(figures, out / "tensorboard")
    save_heatmap(figures, out / "skill.png")


def write_combinations(figures: Mapping[str, Any], path: Path) -> None:
    """Write a line per combination: means over its outputs; empty where nothing was measured."""
    header = ["combination", "class", "trained", "rows"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header + _columns())
        for name, part in figures["combinations"].items():
            start = [name, part["class"], part["trained"], part["rows"]]
            writer.writerow(start + _values(part))


def write_outputs(figures: Mapping[str, Any], path: Path) -> None:
    """Write a line per combination and output, with the figures of raw observations."""
    told = figures["combinations"]
    raw = sorted(
        {n for part in told.values() for o in part["outputs"].values() for n in o["decoded"]}
    )
    header = ["combination", "class", "trained", "rows", "output", "best_baseline"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header + _columns() + [f"{n}, {who}" for n in raw for who in WHO])
        for name, part in told.items():
            for output, own in part["outputs"].items():
                start = [name, part["class"], part["trained"], part["rows"], output]
                shown = [own["decoded"].get(n, {}).get(who) for n in raw for who in WHO]
                writer.writerow([*start, own["best_baseline"], *_values(own), *shown])


def write_scalars(figures: Mapping[str, Any], folder: Path) -> None:
    """Write a scalar per class and per combination; the step is the number of the model."""
    with SummaryWriter(str(folder)) as writer:
        for group in ("classes", "combinations"):
            for name, part in figures[group].items():
                for figure in ("skill", "skill_allowed", "cosine", "retrieval"):
                    estimate = part.get(figure)
                    for step, value in enumerate(estimate["each"] if estimate else ()):
                        writer.add_scalar(f"{group}/{_tag(name)}/{figure}", value, step)


def _columns() -> list[str]:
    ends = ("", "_low", "_high", "_models_low", "_models_high")
    return [name + end for name in CSV_FIGURES for end in ends]


def _values(part: Mapping[str, Any]) -> list[float | None]:
    """Return value, bounds over episodes and bounds over models of every figure."""
    row: list[float | None] = []
    for name in CSV_FIGURES:
        estimate = part.get(name)
        if estimate is None:
            row += [None] * 5
            continue
        sides = [estimate[side] or (None, None) for side in ("episodes", "models")]
        row += [estimate["value"], *sides[0], *sides[1]]
    return row


def _show(estimate: Mapping[str, Any] | None, name: str, short: bool = False) -> str:
    """Return an estimate with its intervals, a dash where there is none."""
    if estimate is None:
        return "–"
    scale, digits = (100, 1) if name in HUNDREDFOLD else (1, 2)

    def text(value: float) -> str:
        return f"{round(value * scale, digits) + 0.0:.{digits}f}"  # never "-0.00"

    def bounds(side: Sequence[float] | None, pair: str) -> str:
        if side is None or (short and not name.startswith("skill")):
            return ""
        return f" {pair[0]}{text(side[0])}, {text(side[1])}{pair[1]}"

    drawn, over = bounds(estimate["episodes"], "[]"), bounds(estimate["models"], "{}")
    return f"{text(estimate['value'])}{drawn}{over}"


def _words(kind: str) -> str:
    return kind.replace("_", " to ") if kind != ALL else "all"


def _tag(name: str) -> str:
    """Return a combination as TensorBoard allows it in a tag."""
    return re.sub(r"[^\w/.-]", "-", name.replace(">", "_to_"))
