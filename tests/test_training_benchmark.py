"""The benchmark: what it says of given curves, and that it goes on where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldgpt_env.errors import ConfigurationError
from worldgpt_env.training.benchmark import BenchmarkConfig, BenchmarkResult, benchmark
from worldgpt_env.training.benchmark.scores import Curve, WorldScores, report
from worldgpt_env.training.cli import main

EARLY = [Curve((100, 200), (value, 100.0), 1.0) for value in (90.0, 100.0, 95.0, 85.0)]
LATE = [Curve((100, 200, 1000), (0.0, value, 100.0), 2.0) for value in (20.0, 30.0, 10.0, 25.0)]


def test_it_tells_how_many_real_steps_each_needs() -> None:
    world = WorldScores({"dyna": EARLY, "alone": LATE})
    assert world.score("alone", 999).value == pytest.approx(22.5)
    assert world.final("dyna").value == 100
    assert world.fewer(span=50) == (1000, 200)  # from 100 less 1 on
    assert WorldScores({"dyna": LATE[:1], "alone": EARLY}).fewer(50) == (200, 1000)
    never = [Curve((100,), (5.0,), 1.0)]
    assert WorldScores({"dyna": never, "alone": LATE}).fewer(50) is None


def test_it_compares_at_equal_real_steps() -> None:
    result = BenchmarkResult({"A-v0": WorldScores({"dyna": EARLY, "alone": LATE})}, (0, 1, 2, 3))
    better = result.probability_of_improvement()
    assert better is not None and (better.value, better.low, better.high) == (1, 1, 1)
    equal = BenchmarkResult({"A-v0": WorldScores({"dyna": EARLY, "alone": EARLY})}, (0, 1, 2, 3))
    better = equal.probability_of_improvement()
    assert better is not None and better.value == 0.5
    told = report(result)
    assert "| 1,000       | 200        | 5.0         | –         |" in told
    gap = result.worlds["A-v0"].difference()
    assert gap.value == pytest.approx(100 - 21.25) and gap.low > 60
    assert "| A-v0  | alone | 200        | 22.5 [" in told


def test_scores_are_normalised_by_the_reference_at_equal_real_steps() -> None:
    halfway = (500 + 22) / 2
    runs = {
        "dyna": [Curve((1500,), (500.0,), 1.0)] * 2,
        "alone": [Curve((1500, 7500), (halfway, 500.0), 1.0)] * 2,
    }
    result = BenchmarkResult({"CartPole-v1": WorldScores(runs)}, (0, 1))
    scores = {agent: result.normalised(agent) for agent in runs}
    assert scores["dyna"] is not None and scores["dyna"].value == pytest.approx(1)
    assert scores["alone"] is not None and scores["alone"].value == pytest.approx(0.5)


def test_what_is_measured_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["benchmark", "--env", "Pendulum-v1", "--real-steps", "20", "--episodes", "1"]
    command += ["--agents", "alone", "alone-equal", "--out", str(tmp_path / "out")]
    assert main([*command, "--seeds", "0"]) == 0
    cell = tmp_path / "out" / "Pendulum-v1" / "alone-0.json"
    known = json.loads(cell.read_text())
    assert [part["real_steps"] for part in known["rounds"]] == [20, 40, 60, 80, 100]
    known["rounds"][-1]["judgement"]["return"] = -7.0  # seen again, if it is not lived anew
    cell.write_text(json.dumps(known))
    found = tmp_path / "found.json"
    assert main([*command, "--seeds", "0", "1", "--json", str(found)]) == 0
    agents = json.loads(found.read_text())["worlds"]["Pendulum-v1"]["agents"]
    assert agents["alone"]["runs"][0]["returns"][-1] == -7.0
    assert len(agents["alone"]["runs"]) == len(agents["alone-equal"]["runs"]) == 2
    cell.write_text('{"rounds": [{"real_steps": 20}]}')
    capsys.readouterr()
    assert main([*command, "--seeds", "0"]) == 2
    assert (
        "cannot be used: 'judgement'" in (told := capsys.readouterr().err) and "Delete it" in told
    )
    assert main([*command[:-1], str(tmp_path / "out"), "--episodes", "2"]) == 2
    assert "episodes" in capsys.readouterr().err


def test_bad_settings_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigurationError, match="no agent 'dreamer'"):
        BenchmarkConfig(out, agents=("dreamer",))
    with pytest.raises(ConfigurationError, match="seeds is empty or names something twice"):
        BenchmarkConfig(out, seeds=(1, 1))
    with pytest.raises(ConfigurationError, match="real_steps is 0"):
        BenchmarkConfig(out, real_steps=0)
    with pytest.raises(ConfigurationError, match="CartPole-v1"):
        benchmark(BenchmarkConfig(out, env=("CartPole-v1", "CartPool-v1")))
    assert not out.exists()
