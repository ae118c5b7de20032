"""Reports: tables, CSV, TensorBoard and heat map of figures whose values are known."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from worldgpt_env.model.curriculum import Combination, combinations
from worldgpt_env.model.modalities import Modality
from worldgpt_env.training.worldnet.judging.heatmap import colour, draw_heatmap
from worldgpt_env.training.worldnet.judging.judge import Cell, Compared
from worldgpt_env.training.worldnet.judging.ledger import build_figures
from worldgpt_env.training.worldnet.judging.report import (
    class_table,
    combination_table,
    decoded_table,
    introduction,
    output_table,
    scenario_table,
    seen_table,
    tables,
    write_report,
)
from worldgpt_env.training.worldnet.judging.summary import Summary

SEEN = (Modality.IMAGE, Modality.VIDEO, Modality.AUDIO)
EPISODE = np.repeat(np.arange(4), 5)  # four episodes of five transitions, two of each scenario
WEIGHTS = np.concatenate([np.ones((1, 4)), np.random.default_rng(0).multinomial(4, [0.25] * 4, 50)])
UNTRAINED = "image>video"
EMPTY = "audio>audio"


def cells(shift: float) -> list[Cell]:
    """Return cells in which the model has a cosine of .8 + shift and copying one of .6."""
    found = []
    for combination in combinations(SEEN):
        for output in combination.outputs:
            rows = np.arange(0 if combination.name == EMPTY else 20)
            spread = 0.02 * (EPISODE - 1.5) * (combination.name != "image>image")
            values: dict[str, Any] = {"cosine": 0.8 + shift + spread, "copy": 0.6, "mean_next": 0.7}
            values |= {"nearest": 0.5, "raw": 0.9, "raw_copy": 0.85, "retrieval": 0.5}
            values |= {"retrieval_copy": 0.25, "chance": 0.125}
            pairs = Compared(*(np.array([[part, 2.0]]) for part in (1.0, 2.0, 0.5)))
            scores = {name: np.full(20, 0.0) + part for name, part in values.items()}
            full = len(rows) > 0
            found.append(
                Cell(
                    combination,
                    output,
                    rows,
                    scores if full else {},
                    {"SSIM": pairs} if full else {},
                )
            )
    return found


def figures(shifts: tuple[float, ...] = (0.0, 0.1)) -> dict[str, Any]:
    """Return the figures of one model per shift."""
    parts = [cells(shift) for shift in shifts]
    about = {
        "models": [f"model{n}" for n in range(len(shifts))], "data": "toy", "split": "test",
        "modalities": ["image", "video", "audio"], "clusters": {"day": 2, "night": 1},
        "transitions": 20, "episodes": 4, "references": 9, "candidates": 8, "static": None,
        "seed": 0, "test": "abc",
    }  # fmt: skip
    apart = {
        name: [Summary.of(part, WEIGHTS * mask, EPISODE) for part in parts]
        for name, mask in (("day", np.array([1, 1, 0, 0])), ("night", np.array([0, 0, 1, 1])))
    }
    chosen = combinations(SEEN)
    trained = {c: c.name != UNTRAINED for c in chosen}
    whole = [Summary.of(part, WEIGHTS, EPISODE) for part in parts]
    return build_figures(about, chosen, trained, parts, whole, apart)


def row_of(table: str, name: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_class_has_the_mean_of_its_combinations_and_both_intervals() -> None:
    told = figures()
    part = told["classes"]["single_other"]
    assert part["skill"]["value"] == pytest.approx(0.625)  # (.5 + .75) / 2
    assert part["skill"]["each"] == pytest.approx([0.5, 0.75])
    assert part["skill"]["models"] == pytest.approx(
        [0.625 - 12.7062 * 0.125, 0.625 + 12.7062 * 0.125]
    )
    low, high = part["skill"]["episodes"]
    assert 0.5 < low < 0.625 < high < 0.75
    assert part["skill_allowed"]["value"] == pytest.approx((1 / 3 + 2 / 3) / 2)  # over .7
    row = row_of(class_table(told), "single to other")
    assert row[1] == "6 of 6" and row[2] == "85.0" and row[7].startswith("0.62 [0.")
    same = told["combinations"]["image>image"]["skill_allowed"]
    assert same["episodes"] == pytest.approx([0.5, 0.5])  # nothing differs between its episodes
    assert told["combinations"]["image>image"]["outputs"]["image"]["best_baseline"] == "mean_next"


def test_what_no_transition_allows_is_a_dash_and_not_a_zero() -> None:
    told = figures()
    row = row_of(combination_table(told), EMPTY)
    assert row[2] == "0" and row[3:] == ["–"] * 8
    assert row_of(class_table(told), "single to same")[1] == "2 of 3"
    nothing = told["combinations"][EMPTY]
    assert "skill" not in nothing and nothing["outputs"]["audio"]["decoded"] == {}


def test_outputs_are_told_apart() -> None:
    told = figures()
    assert row_of(output_table(told), "several to same")[1] == "image"
    assert told["outputs"]["single_other"]["image"]["skill"]["value"] == pytest.approx(0.625)
    assert told["outputs"]["single_same"]["audio"] == {}  # nothing was measured
    assert "adds no spread: night." in introduction(told)


def test_scenarios_are_told_apart() -> None:
    told = figures((0.0,))
    day, night = (told["scenarios"][n]["single_other"]["skill"] for n in ("day", "night"))
    assert day["value"] == pytest.approx(0.45) and night["value"] == pytest.approx(0.55)
    assert row_of(scenario_table(told, "skill"), "day")[2].startswith("0.45 [")
    del told["scenarios"]["day"]
    assert scenario_table(told, "skill") == ""  # one scenario says nothing new


def test_trained_and_never_trained_combinations() -> None:
    told = figures()
    row = row_of(seen_table(told), "single to other")
    assert row[1] == "5 / 1" and row[2].startswith("0.63 [") and row[4].startswith("0.00 [")
    assert row_of(seen_table(told), "several to same")[3] == "–"
    for part in told["seen"].values():
        part["unseen_combinations"] = 0
    assert seen_table(told) == ""


def test_decoded_figures_stand_beside_copying_and_the_codec() -> None:
    row = row_of(decoded_table(figures()), "audio")
    assert row[1:] == ["SSIM", "single to other", "0.500", "1.000", "0.250", "4"]


def test_everything_is_written(tmp_path: Path) -> None:
    told = figures()
    write_report(told, tmp_path / "out")
    out = tmp_path / "out"
    rows = list(csv.DictReader((out / "combinations.csv").open()))
    assert len(rows) == 49 and [row["combination"] for row in rows] == list(told["combinations"])
    by_name = {row["combination"]: row for row in rows}
    assert float(by_name["image>audio"]["skill"]) == pytest.approx(0.625)
    assert by_name[EMPTY]["skill"] == "" and by_name[UNTRAINED]["trained"] == "False"
    outputs = list(csv.DictReader((out / "outputs.csv").open()))
    assert len(outputs) == 84 and outputs[0]["SSIM, copy"] == "1.0"
    assert json.loads((out / "figures.json").read_text())["classes"]["all"]["measured"] == 48
    report = (out / "report.md").read_text()
    assert all(f"## {title}" in report for title in tables(told))
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    scalars = events.Scalars("combinations/image-audio_to_video/skill")
    assert [(e.step, round(e.value, 4)) for e in scalars] == [(0, 0.5), (1, 0.75)]
    assert f"combinations/{EMPTY.replace('>', '_to_')}/skill" not in events.Tags()["scalars"]
    assert (out / "skill.png").stat().st_size > 1000


def test_the_heat_map_shows_sign_gaps_and_dots() -> None:
    names = [c.name for c in combinations(SEEN)]
    values: dict[str, float | None] = {name: 0.0 for name in names}
    plain = np.asarray(draw_heatmap(values))
    changed = np.asarray(draw_heatmap(values | {"image>image": 0.9, "audio>audio": -0.9}))
    dotted = np.asarray(draw_heatmap(values, [Combination.parse("video>image").name]))
    assert plain.shape == changed.shape == dotted.shape
    moved = np.argwhere((plain != changed).any(-1))
    first, last = (changed[tuple(place)].astype(int) for place in (moved[0], moved[-1]))
    assert first[2] > first[0] and last[0] > last[2]  # blue above, red below
    assert 10 < (plain != dotted).any(-1).sum() < 100
    assert colour(5.0) == colour(1.0) and colour(0.0) == (250, 248, 244)
