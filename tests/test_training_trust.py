"""The trust card: a right model holds every bar, a broken one fails, whatever is broken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_world import TinyWorld
from toy_trust import BREAKAGES, Broken, LineModel, LineWorld, hesitant_policies

from worldgpt_env.errors import CheckpointError, ConfigurationError
from worldgpt_env.model.modalities import ActionSpec, VectorSpec
from worldgpt_env.model.vector_dynamics import (
    FitConfig,
    VectorDynamics,
    VectorDynamicsConfig,
    VectorTransitions,
    fit,
)
from worldgpt_env.model.vector_dynamics.world_model import VectorWorldModel
from worldgpt_env.training.cli import main
from worldgpt_env.training.imagination import DreamConfig, dream
from worldgpt_env.training.trust import TrustCard, TrustConfig, TrustedWorld, measure_trust, trust
from worldgpt_env.training.trust.card import GAP, RANK, PolicyReturns, report
from worldgpt_env.training.trust.impossible import impossible_doorkey
from worldgpt_env.training.trust.learned_numbers import LearnedNumbers
from worldgpt_env.training.trust.probes import calibration_error, corrupt, worst_tenth
from worldgpt_env.training.trust.returns import return_figures, spearman
from worldgpt_env.worlds import make_world, register_world


def card_of(world: TrustedWorld, out: Path, episodes: int = 100) -> TrustCard:
    config = TrustConfig(out, "line", "line", episodes=episodes, horizon=30)
    policies = hesitant_policies()
    curve = [(100 * (12 - number), policies[number]) for number in (9, 5, 0)]
    return measure_trust(config, world, LineWorld, policies, curve)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> TrustCard:
    return card_of(LineModel(), tmp_path_factory.mktemp("right") / "card")


def test_a_right_model_holds_every_bar(right: TrustCard) -> None:
    assert right.passed, report(right)
    figures = {figure.name: figure for figure in right.figures}
    assert figures["rank correlation"].interval.low > 0.8
    assert abs(figures["optimisation lift"].interval.value) < 0.1
    assert figures["drift: impossible states in 200 steps"].interval.value == 0
    assert sum(figure.passed is not None for figure in right.figures) >= 9
    assert "all" in report(right) and "bars hold" in report(right)


@pytest.mark.parametrize("kind", BREAKAGES)
def test_a_broken_model_fails(kind: str, tmp_path: Path) -> None:
    card = card_of(Broken(kind), tmp_path / "card", episodes=40)
    assert not card.passed and card.failed, report(card)
    told = {"ends": "end:", "rewards": "reward:", "sure": "uncertainty:", "doubts": "uncertainty:"}
    wanted = [figure for word, figure in told.items() if word in kind.split()]
    for start in wanted or ["r"]:  # the rank, or the gap of returns
        assert any(name.startswith(start) for name in card.failed), report(card)


def test_what_is_measured_is_kept(tmp_path: Path) -> None:
    card_of(LineModel(), tmp_path / "card", episodes=5)
    path = tmp_path / "card" / "returns" / "left 0.00.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"dream": [7.0] * 5}))
    assert card_of(LineModel(), tmp_path / "card", episodes=5).policies["left 0.00"].dream[0] == 7
    with pytest.raises(ConfigurationError, match="episodes 5, not 6"):
        card_of(LineModel(), tmp_path / "card", episodes=6)
    path.write_text('{"dream": [1.0]}')
    with pytest.raises(CheckpointError, match="cannot be used.*Delete it"):
        card_of(LineModel(), tmp_path / "card", episodes=5)


def returns(dream: list[float], real: list[float]) -> list[PolicyReturns]:
    return [
        PolicyReturns("given", np.array([d, d]), np.array([r, r]))
        for d, r in zip(dream, real, strict=True)
    ]


def test_returns_are_ranked_and_compared() -> None:
    assert spearman(np.array([1.0, 2, 2, 9]), np.array([1.0, 3, 3, 4])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    assert spearman(np.zeros(3), np.arange(3.0)) == 0, "a dream that tells nothing apart"
    assert np.isnan(spearman(np.arange(3.0), np.zeros(3)))
    rising = [float(x) for x in range(12)]
    rank, gap, last, lift = return_figures(
        returns(rising[:-1] + [22.0], rising), returns([0.0, 22.0], [0.0, 11.0])
    )
    assert rank.bar == RANK and rank.passed
    assert gap.interval.value == pytest.approx(1) and gap.passed is False and gap.bar == GAP
    assert last.interval.value == pytest.approx(1) and lift.interval.value == pytest.approx(1)
    few, *others = return_figures(returns(rising[:4], rising[:4]), [])
    assert few.bar is None and "too few" in few.note
    assert [figure.interval for figure in others[1:]] == [None, None]


def test_calibration_is_told_in_bins() -> None:
    chance = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 200)
    happened = np.random.default_rng(0).random(1000) < chance
    assert calibration_error(chance, happened) < 0.05
    assert calibration_error(np.full(100, 0.9), np.zeros(100)) == pytest.approx(0.9)
    assert calibration_error(chance[:19], happened[:19]) is None


def test_the_worst_tenth_are_wrong_steps() -> None:
    assert worst_tenth(np.arange(100.0)).sum() == 10
    assert worst_tenth(np.array([0.0] * 97 + [1.0] * 3)).sum() == 3
    assert worst_tenth(np.zeros(10)).sum() == 0
    assert worst_tenth(np.array([0.0] * 50 + [1.0] * 50)).sum() == 50


def test_corrupted_observations_stay_within_what_was_seen() -> None:
    seen = {"image": np.arange(200, dtype=np.uint8).reshape(10, 20), "vector": np.ones((10, 3))}
    found = corrupt(seen, 0)
    assert found["image"].dtype == np.uint8 and (found["image"] != seen["image"]).mean() > 0.2
    assert np.array_equal(found["vector"], seen["vector"])


def test_doorkey_tells_what_cannot_be() -> None:
    world = make_world("doorkey")
    steps = [world.reset(seed=0)[0]]
    world.action_space.seed(0)
    steps += [world.step(world.action_space.sample())[0] for _ in range(60)]
    real = {key: np.stack([step[key] for step in steps]) for key in steps[0]}
    assert not impossible_doorkey(real).any()
    empty = real | {"image": np.zeros_like(real["image"])}
    assert impossible_doorkey(empty).all()


def test_a_model_of_random_weights_fails_by_command(
    tiny_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    register_world(TinyWorld)
    agent = tmp_path / "agent"
    small = {"n_steps": 8, "batch_size": 64, "n_epochs": 1, "net_arch": [16]}
    dream(DreamConfig(agent, tiny_folder, steps=64, num_envs=8, horizon=5, settings=small))
    out, found = tmp_path / "card", tmp_path / "card.json"
    command = ["trust", "--model", tiny_folder, "--out", str(out), "--policies", str(agent)]
    command += ["--imagined-steps", "16", "--episodes", "8", "--probes", "60", "--horizon", "10"]
    assert main([*command, "--json", str(found)]) == 0
    assert "bars fail" in capsys.readouterr().out
    told = json.loads(found.read_text())
    assert told["world"] == "tiny" and not told["passed"]
    assert set(told["policies"]) == {"random", "1-agent", "ppo-0"}
    assert told["figures"]["consistency: image swapped"]["bar"] == "at least 0.9"
    assert len(told["curve"]) == 5 and told["curve"][-1]["steps"] == 16
    assert main([*command, "--seed", "3"]) == 2
    assert "seed 0, not 3" in capsys.readouterr().err


def test_a_model_of_numbers_takes_part(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    states, actions = (2 * torch.rand(200, 2, generator=draw) - 1 for _ in range(2))
    following = states + 0.1 * actions
    first, ends = torch.arange(200) % 50 == 0, following[:, 0] > 0.9
    data = VectorTransitions(states, actions, actions[:, 1], following, ends, first)
    dynamics = VectorDynamics(2, 2, VectorDynamicsConfig(members=3, elites=2, width=16, layers=2))
    fit(dynamics, data, draw, FitConfig(updates=50))
    spec = VectorSpec(("x", "y"), (-2.0, -2.0), (2.0, 2.0))
    acts = ActionSpec("box", (2,), (), (-1.0, -1.0), (1.0, 1.0))
    model = VectorWorldModel.of(dynamics, data, "plane", spec, acts, 30)
    world, seen = LearnedNumbers(model), {"vector": states[:5].numpy()}
    told = [world.step(world.reset(seen, 3), actions[:5].numpy()) for _ in range(2)]
    assert world.observe(told[0].state)["vector"].shape == (5, 2)
    assert np.array_equal(*(world.observe(step.state)["vector"] for step in told))
    assert set(told[0].end_probability.tolist()) <= {0.0, 0.5, 1.0}
    assert told[0].uncertainty.shape == told[0].expected_reward.shape == (5,)
    model.save(tmp_path / "model")
    with pytest.raises(ConfigurationError, match="add --policies"):
        trust(TrustConfig(tmp_path / "out", str(tmp_path / "model")))
    assert not (tmp_path / "out").exists()


def test_bad_settings_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigurationError, match="episodes is 1"):
        TrustConfig(out, episodes=1)
    with pytest.raises(ConfigurationError, match="at least two policies"):
        measure_trust(TrustConfig(out), LineModel(), LineWorld, hesitant_policies()[:1])
    with pytest.raises(ConfigurationError, match="doom-audio"):
        trust(TrustConfig(out, "doorkey", "nowhere"))
    assert not out.exists()
