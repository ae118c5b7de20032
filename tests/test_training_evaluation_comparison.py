"""Comparisons of evaluations, and curves of trainings."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.training.cli import main
from worldgpt_env.training.evaluation import comparison, learning_curves, plots
from worldgpt_env.training.evaluation.comparison import CompareConfig
from worldgpt_env.training.evaluation.learning_curves import CurvesConfig, read_curves
from worldgpt_env.training.evaluation.plots import Panel, line_plots, mean_line


def compare(config: CompareConfig) -> dict[str, Any]:
    """Return what is written as JSON."""
    return comparison.compare(config).to_json()


def draw_curves(config: CurvesConfig) -> dict[str, Any]:
    """Draw, and return what is written as JSON."""
    return learning_curves.draw_curves(config).to_json()


DRAWS = np.random.default_rng(0).normal(0.0, 0.1, 400)


def write(path: Path, skill: float, each: list[float], test: str = "abc", models: str = "") -> Path:
    """Write figures whose draws lie around ``skill``."""
    part: dict[str, Any] = {"skill": {"value": skill, "each": each}, "skill_allowed": None}
    draws = {"all": {"skill": [skill, *(skill + DRAWS)]}}
    figures = {"test": test, "seed": 0, "classes": {"all": part}, "draws": draws}
    figures["models"] = [f"{models or path.stem}-{n}" for n in range(len(each))]
    path.write_text(json.dumps(figures | {"combinations": {"image>image": part}}))
    return path


def test_differences_are_paired_where_the_transitions_are_the_same(tmp_path: Path) -> None:
    first = write(tmp_path / "zero.json", 0.1, [0.0, 0.1, 0.2])
    second = write(tmp_path / "tuned.json", 0.4, [0.3, 0.4, 0.5])
    other = write(tmp_path / "other.json", 0.4, [0.4], test="xyz")
    figures = compare(CompareConfig((first, second, other)))
    assert figures["first"] == "zero"
    paired, apart = (figures["others"][name] for name in ("tuned", "other"))
    assert paired["paired"] and not apart["paired"]
    part = paired["classes"]["all"]["skill"]
    assert part["difference"] == pytest.approx(0.3)
    assert part["episodes"] == pytest.approx([0.3, 0.3])  # the same luck in every draw
    assert part["models"] == pytest.approx([0.3 - 2.7764 * 0.0816, 0.3 + 2.7764 * 0.0816], abs=1e-3)
    low, high = apart["classes"]["all"]["skill"]["episodes"]
    assert (high - low) / 2 == pytest.approx(1.96 * 0.1 * 2**0.5, rel=0.15)
    assert apart["classes"]["all"]["skill"]["models"] is None  # one model has no spread
    assert paired["combinations"]["image>image"]["skill"]["episodes"] is None
    assert paired["classes"]["all"]["skill_allowed"]["difference"] is None


def test_the_same_models_are_compared_one_by_one(tmp_path: Path) -> None:
    alone = write(tmp_path / "alone.json", 0.1, [0.0, 0.1, 0.2], models="m")
    shown = write(tmp_path / "shown.json", 0.2, [0.1, 0.21, 0.29], models="m")
    part = compare(CompareConfig((alone, shown)))["others"]["shown"]
    assert part["same_models"]
    half = 4.3027 * 0.01 / 3**0.5  # of the gains .1, .11 and .09
    assert part["classes"]["all"]["skill"]["models"] == pytest.approx(
        [0.1 - half, 0.1 + half], abs=1e-5
    )


def test_the_command_compares(tmp_path: Path, capsys) -> None:
    files = [str(write(tmp_path / f"{n}.json", n / 10, [n / 10])) for n in (1, 2)]
    line = ["worldnet", "compare", *files, "--names", "zero-shot,tuned"]
    assert main([*line, "--json", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert "tuned less zero-shot, paired" in printed and "+0.10 [+0.10, +0.10]" in printed
    assert json.loads((tmp_path / "out.json").read_text())["first"] == "zero-shot"
    (tmp_path / "wrong.json").write_text("{}")
    assert main(["worldnet", "compare", files[0], str(tmp_path / "wrong.json")]) == 2
    assert "holds no evaluation" in capsys.readouterr().err
    for broken in ("[]", '{"test": "abc", "seed": 0, "classes": [], "draws": {}}', "nonsense"):
        (tmp_path / "wrong.json").write_text(broken)
        assert main(["worldnet", "compare", files[0], str(tmp_path / "wrong.json")]) == 2
        assert "wrong.json" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="different name"):
        CompareConfig((Path("a.json"), Path("b/a.json")))


def log(folder: Path, values: list[float], kinds: tuple[str, ...] = ("single_same",)) -> Path:
    """Write a run's held-out losses every 10 updates, as training does."""
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for kind in kinds:
            for number, value in enumerate(values):
                writer.add_scalar(f"dynamics/held_out/{kind}", value, 10 * number)
        writer.add_scalar("dynamics/loss", 9.0, 0)
    return folder


def test_curves_end_rise_and_differ(tmp_path: Path) -> None:
    fast = log(tmp_path / "a.run", [4.0, 1.0, 2.0, 1.5])
    steady = [log(tmp_path / f"b{n}", [4.0, 3.0, 2.0, 1.0 + n]) for n in range(2)]
    out = tmp_path / "pictures" / "curves.png"
    runs = {
        "progressive": (tmp_path / "a", fast),
        "naive": tuple(steady),
    }  # a: MODEL with MODEL.run
    part = draw_curves(CurvesConfig(runs, out))["classes"]["single_same"]
    assert part["progressive"]["final"]["value"] == 1.5 and part["progressive"]["runs"] == 2
    assert part["progressive"]["rise"]["value"] == 1.0 and part["naive"]["rise"]["value"] == 0.0
    assert part["naive"]["less"]["value"] == 0.0 and part["progressive"]["less"] is None
    assert part["naive"]["final"]["low"] == pytest.approx(1.5 - 12.7062 * 0.5)
    pixels = np.asarray(Image.open(out).convert("RGB")).reshape(-1, 3).astype(int)
    assert ((pixels - (24, 104, 142)).__abs__().max(1) < 12).any()  # a line of each colour
    assert ((pixels - (214, 108, 42)).__abs__().max(1) < 12).any()


def test_curves_of_a_resumed_run_count_the_last_value(tmp_path: Path) -> None:
    log(tmp_path, [3.0, 2.0])
    time.sleep(1.1)  # files of events are named, and so read in order, by the second
    with SummaryWriter(str(tmp_path / "tensorboard"), filename_suffix=".again") as writer:
        writer.add_scalar("dynamics/held_out/single_same", 1.0, 10)
    curve = read_curves(tmp_path)["single_same"]
    assert curve.updates.tolist() == [0, 10] and curve.final == 1.0


def test_runs_without_curves_are_named(tmp_path: Path, capsys) -> None:
    with pytest.raises(ConfigurationError, match="holds no TensorBoard files"):
        read_curves(tmp_path)
    log(tmp_path, [], ())
    with pytest.raises(ConfigurationError, match="no held-out losses"):
        read_curves(tmp_path)
    with pytest.raises(ConfigurationError, match="no run was named"):
        CurvesConfig({"naive": ()}, tmp_path / "x.png")
    one, other = (log(tmp_path / k, [1.0], (k,)) for k in ("single_same", "single_other"))
    command = ["worldnet", "curves", "--runs", f"a={one}", f"b={other}"]
    assert main([*command, "--out", str(tmp_path / "x.png")]) == 2
    assert "share no class" in capsys.readouterr().err
    assert main([*command[:3], f"a={one}", "--out", str(tmp_path / "x.png")]) == 0
    assert "single to same" in capsys.readouterr().out


def test_runs_are_thin_and_their_mean_is_bold() -> None:
    runs = [(np.array([0, 1, 2]), np.array([1.0, 2, 3])), (np.array([1, 2]), np.ones(2))]
    xs, ys = mean_line(runs)
    assert xs.tolist() == [1, 2] and ys.tolist() == [1.5, 2.0]
    single = [(np.array([0, 2]), np.array([5.0, 4.0]))]
    panel = Panel("single to same", {"progressive": runs, "naive": single})
    figure = line_plots([panel] * 3, "update", "loss")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 3 and len(figure.axes) == 4  # two by two, the last one empty
    widths = [line.get_linewidth() for line in shown[0].lines]
    assert sorted(widths)[:2] == [0.9, 0.9] and sorted(widths)[2:] == [2, 2]
    bold = {line.get_label(): line.get_ydata().tolist() for line in shown[0].lines}
    assert bold["progressive"] == [1.5, 2.0] and bold["naive"] == [5.0, 4.0]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["progressive", "naive"]


def test_no_matplotlib_is_one_sentence(tmp_path: Path, monkeypatch, capsys) -> None:
    run = log(tmp_path / "a", [1.0])
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    command = ["worldnet", "curves", "--runs", f"a={run}", "--out", str(tmp_path / "x.png")]
    assert main(command) == 2
    assert 'type: pip install "worldgpt-env[plots]"' in capsys.readouterr().err
