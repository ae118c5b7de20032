"""Reports: tables, CSV, TensorBoard and heat map of figures whose values are known."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from worldgpt_env.model.curriculum import Combination, combinations
from worldgpt_env.model.modalities import Modality
from worldgpt_env.training.evaluation.combinations import OutputScores
from worldgpt_env.training.evaluation.estimates import Bootstrap
from worldgpt_env.training.evaluation.observations import Compared
from worldgpt_env.training.evaluation.plots import BETTER, WORSE, heat_maps
from worldgpt_env.training.evaluation.report import (
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
from worldgpt_env.training.evaluation.results import EvaluationResult, Subject

SEEN = (Modality.IMAGE, Modality.VIDEO, Modality.AUDIO)
EPISODE = np.repeat(np.arange(4), 5)  # four episodes of five transitions, two of each scenario
WEIGHTS = np.concatenate([np.ones((1, 4)), np.random.default_rng(0).multinomial(4, [0.25] * 4, 50)])
UNTRAINED = "image>video"
EMPTY = "audio>audio"


def scores_of(shift: float) -> list[OutputScores]:
    """Return scores in which the model has a cosine of .8 + shift and copying one of .6."""
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
                OutputScores(
                    combination,
                    output,
                    rows,
                    scores if full else {},
                    {"SSIM": pairs} if full else {},
                )
            )
    return found


def result(shifts: tuple[float, ...] = (0.0, 0.1)) -> EvaluationResult:
    """Return the result of one model per shift."""
    subject = Subject(
        models=tuple(f"model{n}" for n in range(len(shifts))),
        data="toy",
        split="test",
        scenarios=("day", "night"),
        known_scenarios=("day",),
        modalities=("image", "video", "audio"),
        transitions=20,
        episodes=4,
        clusters={"day": 2, "night": 1},
        references=9,
        candidates=8,
        static=None,
        seed=0,
        test="abc",
    )
    bootstrap = Bootstrap(WEIGHTS, EPISODE, ("day", "day", "night", "night"))
    trained = {c: c.name != UNTRAINED for c in combinations(SEEN)}
    return EvaluationResult.of(subject, trained, [scores_of(s) for s in shifts], bootstrap)


def row_of(table: str, name: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_class_has_the_mean_of_its_combinations_and_both_intervals() -> None:
    found = result()
    skill = found.classes["single_other"].estimates["skill"]
    assert skill is not None and skill.value == pytest.approx(0.625)  # (.5 + .75) / 2
    assert skill.each == pytest.approx([0.5, 0.75])
    assert skill.models == pytest.approx((0.625 - 12.7062 * 0.125, 0.625 + 12.7062 * 0.125))
    assert skill.episodes is not None
    assert 0.5 < skill.episodes[0] < 0.625 < skill.episodes[1] < 0.75
    allowed = found.classes["single_other"].estimates["skill_allowed"]
    assert allowed is not None and allowed.value == pytest.approx((1 / 3 + 2 / 3) / 2)  # over .7
    row = row_of(class_table(found), "single to other")
    assert row[1] == "6 of 6" and row[2] == "85.0" and row[7].startswith("0.62 [0.")
    same = found.combinations["image>image"]
    exact = same.estimates["skill_allowed"]
    assert exact is not None
    assert exact.episodes == pytest.approx((0.5, 0.5))  # nothing differs between its episodes
    assert same.outputs["image"].best_baseline == "mean_next"


def test_the_json_has_a_place_for_everything() -> None:
    told = result().to_json()
    assert list(told)[:4] == ["models", "data", "split", "scenarios"]
    assert told["scenarios"].keys() == {"day", "night"} and told["speed"] is None
    part = told["combinations"]["image>video"]
    assert list(part)[:3] == ["class", "trained", "rows"] and list(part)[-1] == "outputs"
    assert (part["class"], part["trained"], part["rows"]) == ("single_other", False, 20)
    assert part["skill"].keys() == {"value", "episodes", "models", "each"}
    assert part["outputs"]["video"]["decoded"]["SSIM"] == {
        "model": 0.5, "copy": 1.0, "codec": 0.25, "rows": 2
    }  # fmt: skip
    assert told["seen"]["all"]["unseen_combinations"] == 1
    assert told["seen"]["all"]["skill"].keys() == {"seen", "unseen", "gap"}
    assert len(told["draws"]["all"]["skill"]) == 51  # the estimate, and 50 draws
    assert json.loads(json.dumps(told)) == told  # plain values only


def test_what_no_transition_allows_is_a_dash_and_not_a_zero() -> None:
    found = result()
    row = row_of(combination_table(found), EMPTY)
    assert row[2] == "0" and row[3:] == ["–"] * 8
    assert row_of(class_table(found), "single to same")[1] == "2 of 3"
    nothing = found.combinations[EMPTY]
    assert "skill" not in nothing.estimates and nothing.outputs["audio"].decoded == {}


def test_outputs_are_told_apart() -> None:
    found = result()
    assert row_of(output_table(found), "several to same")[1] == "image"
    skill = found.outputs["single_other"]["image"]["skill"]
    assert skill is not None and skill.value == pytest.approx(0.625)
    assert found.outputs["single_same"]["audio"] == {}  # nothing was measured
    assert "adds no spread: night." in introduction(found)


def test_scenarios_are_told_apart() -> None:
    found = result((0.0,))
    day, night = (found.scenarios[n]["single_other"]["skill"] for n in ("day", "night"))
    assert day is not None and day.value == pytest.approx(0.45)
    assert night is not None and night.value == pytest.approx(0.55)
    assert row_of(scenario_table(found, "skill"), "day")[2].startswith("0.45 [")
    del found.scenarios["day"]
    assert scenario_table(found, "skill") == ""  # one scenario says nothing new


def test_trained_and_never_trained_combinations() -> None:
    found = result()
    row = row_of(seen_table(found), "single to other")
    assert row[1] == "5 / 1" and row[2].startswith("0.63 [") and row[4].startswith("0.00 [")
    assert row_of(seen_table(found), "several to same")[3] == "–"
    seen = {name: replace(part, unseen_combinations=0) for name, part in found.seen.items()}
    assert seen_table(replace(found, seen=seen)) == ""


def test_decoded_figures_stand_beside_copying_and_the_codec() -> None:
    row = row_of(decoded_table(result()), "audio")
    assert row[1:] == ["SSIM", "single to other", "0.500", "1.000", "0.250", "4"]


def test_everything_is_written(tmp_path: Path) -> None:
    found, out = result(), tmp_path / "out"
    write_report(found, out)
    rows = list(csv.DictReader((out / "combinations.csv").open()))
    assert len(rows) == 49 and [row["combination"] for row in rows] == list(found.combinations)
    by_name = {row["combination"]: row for row in rows}
    assert float(by_name["image>audio"]["skill"]) == pytest.approx(0.625)
    assert by_name[EMPTY]["skill"] == "" and by_name[UNTRAINED]["trained"] == "False"
    outputs = list(csv.DictReader((out / "outputs.csv").open()))
    assert len(outputs) == 84 and outputs[0]["SSIM, copy"] == "1.0"
    assert json.loads((out / "figures.json").read_text()) == found.to_json()
    text = (out / "report.md").read_text()
    assert all(f"## {title}" in text for title in tables(found))
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    scalars = events.Scalars("combinations/image-audio_to_video/skill")
    assert [(e.step, round(e.value, 4)) for e in scalars] == [(0, 0.5), (1, 0.75)]
    assert f"combinations/{EMPTY.replace('>', '_to_')}/skill" not in events.Tags()["scalars"]
    with Image.open(out / "skill.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 500


def cell_of(axes: Any, row: str, column: str) -> tuple[str, Any]:
    """Return the text and the colour of the cell that a reader finds below and beside names."""
    rows = [label.get_text() for label in axes.get_yticklabels()]
    columns = [label.get_text().replace("\n", "") for label in axes.get_xticklabels()]
    place = columns.index(column), rows.index(row)
    patch = next(p for p in axes.patches if p.get_xy() == place)
    middle = tuple(part + 0.5 for part in place)
    text = next(t.get_text() for t in axes.texts if t.get_position() == middle)
    return text, patch.get_facecolor()


def test_the_heat_map_shows_sign_gaps_and_dots() -> None:
    values: dict[str, float | None] = {c.name: 0.0 for c in combinations(SEEN)}
    values |= {"image>image": 0.9, "audio>audio": -5.0, "video>image+video+audio": None}
    figure = heat_maps({"one": values, "other": values}, {Combination.parse("video>image").name})
    axes, other = figure.axes
    assert (axes.get_title("left"), other.get_title("left")) == ("one", "other")
    assert len(axes.patches) == 49
    text, colour = cell_of(axes, "image", "image")
    assert text == "0.90" and colour[2] > colour[0] + 0.2  # blue above
    text, colour = cell_of(axes, "audio", "audio")
    assert text == "-5.00" and to_hex(colour) == WORSE  # red below, no redder than at -1
    text, colour = cell_of(axes, "video", "image+video+audio")
    assert text == "–" and colour[0] == colour[1]  # grey
    (dot,) = axes.lines  # in the cell of the one that was never trained
    assert 0 < dot.get_xdata()[0] < 1 and 1 < dot.get_ydata()[0] < 2
    full = heat_maps({"one": {"image>image": 1.0}}).axes[0].patches[0]
    assert to_hex(full.get_facecolor()) == BETTER
