"""Speed is measured on real steps, and in the unit that it claims."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_world import build_model, save_model

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.training.speed import SpeedConfig, import_seconds, measure_speed


def test_every_figure_is_a_rate_of_its_own(tiny_folder: str) -> None:
    config = SpeedConfig(tiny_folder, num_envs=8, steps=15, repeats=2, dream_steps=256)
    figures = measure_speed(config)
    rates = {"latent_1", "latent_8", "decoded_8", "ppo_latent_8"}
    assert rates | {"model", "world", "import_cpu_seconds"} == set(figures)
    assert all(figures[name] > 1 for name in rates)
    assert figures["latent_8"] > 1.5 * figures["latent_1"], "rows side by side share their pass"
    assert figures["ppo_latent_8"] < figures["latent_8"], "an agent that learns costs time too"


def test_what_a_model_reads_meanwhile_costs_time(tmp_path: Path) -> None:
    folder = save_model(
        build_model(reflector={"width": 16, "layers": 1, "heads": 2, "queries": 2}),
        tmp_path / "model",
    )
    plain, reading = (
        measure_speed(SpeedConfig(folder, 8, 15, 2, dream_steps, memory))
        for dream_steps, memory in ((0, None), (64, "reflected"))
    )
    assert set(reading) - set(plain) == {"ppo_latent_8"}
    assert reading["latent_8"] < plain["latent_8"]


def test_the_import_is_measured_in_a_fresh_interpreter() -> None:
    assert 0.01 < import_seconds(1) < 5


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="steps is 0"):
        SpeedConfig(steps=0)
