"""Planners: as far as their past and their seed go, in any row, and better than chance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv
from tiny_world import ACTIONS, TinyWorld, build_model
from toy_worlds import CorridorWorld

from worldgpt_env.errors import InvalidObservationError, MissingModalityError
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.policies.baselines import RandomPolicy
from worldgpt_env.policies.planning import (
    CEM,
    MPPI,
    CEMConfig,
    MPPIConfig,
    Planner,
    PlannerConfig,
    PolicyValue,
    RandomShooting,
    build_planner,
)
from worldgpt_env.policies.planning.history import History
from worldgpt_env.simulator import SimulatorConfig
from worldgpt_env.spaces import action_space
from worldgpt_env.training.cli import main
from worldgpt_env.training.policy_evaluation import EvaluateConfig, evaluate, evaluate_episodes

DREAM = SimulatorConfig(temperature=0.0)


@pytest.fixture(scope="module")
def model(corridor: Path) -> WorldGPT:
    return WorldGPT.from_pretrained(corridor / "model")


def corridor_moments(rows: int) -> dict[str, np.ndarray]:
    """Return the first observations of ``rows`` different corridors."""
    seen = [CorridorWorld().reset(seed=seed)[0] for seed in range(rows)]
    return {key: np.stack([one[key] for one in seen]) for key in seen[0]}


def tiny_moments(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return observations of ``rows`` tiny worlds."""
    seen = [TinyWorld().reset(seed=seed + row)[0] for row in range(rows)]
    return {key: np.stack([one[key] for one in seen]) for key in seen[0]}


def picked(batch: dict[str, np.ndarray], rows: Any) -> dict[str, np.ndarray]:
    return {key: value[rows] for key, value in batch.items()}


def planners(model: WorldGPT, horizon: int = 6, candidates: int = 24) -> list[Planner]:
    size = {"horizon": horizon, "candidates": candidates}
    return [
        RandomShooting(model, PlannerConfig(**size)),
        CEM(model, CEMConfig(**size, iterations=2, elites=4)),
        MPPI(model, MPPIConfig(**size)),
    ]


def plain(observation: dict) -> dict:
    return observation


# the real world ---------------------------------------------------------------------------------


def test_planners_find_the_prize_and_chance_does_not(model: WorldGPT) -> None:
    space = CorridorWorld().action_space
    chance = evaluate_episodes(
        RandomPolicy(space, 0), CorridorWorld, plain, episodes=40
    ).successes.mean()
    assert chance < 0.75
    for planner in planners(model):
        found = evaluate_episodes(
            planner, CorridorWorld, plain, episodes=15, num_envs=5
        ).successes.mean()
        assert found > 0.9, type(planner).__name__


def test_stable_baselines3_evaluates_a_planner_as_any_policy(model: WorldGPT) -> None:
    env = DummyVecEnv([lambda: Monitor(CorridorWorld()) for _ in range(3)])  # type: ignore[arg-type]
    env.seed(0)
    returns, lengths = evaluate_policy(
        planners(model)[0], env, n_eval_episodes=6, return_episode_rewards=True
    )
    assert returns == [1.0] * 6 and max(lengths) <= 10


def test_the_same_episodes_whatever_runs_beside_them(model: WorldGPT) -> None:
    planner = RandomShooting(model, PlannerConfig(4, 6, replan_every=2))
    alone = evaluate_episodes(planner, CorridorWorld, plain, episodes=6, num_envs=1)
    beside = evaluate_episodes(planner, CorridorWorld, plain, episodes=6, num_envs=4)
    assert alone.lengths.tolist() == beside.lengths.tolist()
    assert alone.returns.tolist() == beside.returns.tolist()


def test_the_command_line_judges_a_planner_and_prints_its_trace(corridor: Path, capsys) -> None:
    model = str(corridor / "model")
    words = ["evaluate", "--policy", "planner:cem", "--model", model, "--episodes", "3"]
    settings = ["--set", "horizon=6", "candidates=16", "iterations=2", "--verbose"]
    assert main([*words, *settings]) == 0
    told = capsys.readouterr().out
    assert "row 0 step 0: '" in told and "new plan (start)" in told
    assert "success        1" in told
    assert main([*words, "--set", "depth=3"]) == 2
    assert "no setting depth; it has horizon" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="no planner"):
        evaluate(EvaluateConfig("planner:magic", model=model))
    with pytest.raises(ConfigurationError, match="is no planner"):
        evaluate(EvaluateConfig("random", "corridor", verbose=True))


# what decides -----------------------------------------------------------------------------------


def test_a_row_is_the_same_in_any_batch_and_order(model: WorldGPT) -> None:
    batch = corridor_moments(5)
    order = np.array([3, 0, 4, 1, 2])
    for planner in planners(model):
        together, state = planner.predict(batch)
        mixed, _ = planner.predict(picked(batch, order))
        assert np.array_equal(mixed, together[order])
        for row in range(5):
            alone, one = planner.predict(picked(batch, [row]))
            assert np.array_equal(one.plan[0], state.plan[row])
            assert one.score[0] == state.score[row]  # to the last bit


def test_the_seed_decides_and_candidates_do_not_depend_on_their_number(
    endless_model: WorldGPT,
) -> None:
    batch = tiny_moments(2)

    def plan(**settings: Any) -> np.ndarray:
        planner = RandomShooting(endless_model, PlannerConfig(**{"horizon": 8, **settings}))
        return planner.predict(batch)[1].plan

    assert np.array_equal(plan(seed=1), plan(seed=1))
    assert not np.array_equal(plan(seed=1), plan(seed=2))
    few = RandomShooting(endless_model, PlannerConfig(candidates=8))
    many = RandomShooting(endless_model, PlannerConfig(candidates=64))
    assert np.array_equal(few._keys(3, 0), many._keys(3, 0)[:8])


def test_more_candidates_are_never_worse_and_iterations_help(endless_model: WorldGPT) -> None:
    batch = tiny_moments(3)

    def score(planner: Planner) -> np.ndarray:
        return planner.predict(batch)[1].score

    few = score(RandomShooting(endless_model, PlannerConfig(8, 8)))
    many = score(RandomShooting(endless_model, PlannerConfig(8, 64)))
    better = score(CEM(endless_model, CEMConfig(8, 64, iterations=4)))
    assert (many >= few).all() and (many > few).any()
    assert (better >= many).all() and (better > many).any()


@pytest.mark.parametrize("kind", sorted(ACTIONS))
def test_every_kind_of_action_is_planned(kind: str) -> None:
    model = build_model(kind)
    for planner in planners(model, horizon=3, candidates=8):
        actions, state = planner.predict(tiny_moments(2))
        for action in actions:
            assert action_space(model.action_spec).contains(
                action if action.shape else np.int64(action)
            )
        one, _ = planner.predict(picked(tiny_moments(2), 0))  # without the axis of rows
        assert np.array_equal(one, actions[0])
        again, _ = planner.predict(tiny_moments(2, seed=9), state)
        assert again.shape == actions.shape
        assert planner.trace[1].step == 1 and planner.trace[1].action in str(planner.trace[1])


def test_what_is_uncertain_costs_and_what_follows_is_worth_something(
    endless_model: WorldGPT,
) -> None:
    batch = tiny_moments(2)

    def score(**kwargs: Any) -> np.ndarray:
        return (
            RandomShooting(endless_model, PlannerConfig(4, 1, discount=0.5), **kwargs)
            .predict(batch)[1]
            .score
        )

    dear = RandomShooting(endless_model, PlannerConfig(4, 1, uncertainty_penalty=2.0))
    assert (dear.predict(batch)[1].score < score()).all()
    valued = score(value=lambda simulator, state: np.array([8.0, -16.0]))
    assert np.allclose(valued - score(), [0.5, -1.0])  # 0.5 ** 4 of it


def test_the_value_of_a_policy_is_in_units_of_the_reward(tiny_folder: str, tmp_path: Path) -> None:
    from worldgpt_env.policies.store import load_policy
    from worldgpt_env.training.imagination import DreamConfig, dream

    model = WorldGPT.from_pretrained(tiny_folder)
    batch = tiny_moments(2)
    for algo, more in (("ppo", {"n_steps": 8, "n_epochs": 1}), ("dqn", {"learning_starts": 10})):
        out = tmp_path / algo
        settings = {"net_arch": [16], "batch_size": 32, **more}
        dream(DreamConfig(out, tiny_folder, algo, 64, 8, settings=settings))
        agent = load_policy(out)
        planner = build_planner("cem", model, {"value": str(out), "horizon": 3, "elites": 4})
        history = History.begin(model, batch, 2, DREAM, 0)
        value = PolicyValue(agent)(history.simulator, history.state)
        scaled = PolicyValue(agent, reward_scale=1.0)(history.simulator, history.state)
        bins = model.config.reward_bins
        assert np.allclose(value, scaled * max(abs(bins.low), abs(bins.high)))
        planner.predict(batch)


# what is remembered -----------------------------------------------------------------------------


def test_planning_changes_neither_the_history_nor_the_state_it_was_given(model: WorldGPT) -> None:
    batch, later = corridor_moments(3), picked(corridor_moments(6), [3, 4, 5])
    for planner in planners(model):
        _, state = planner.predict(batch)
        before = state.history.simulator.get_state()
        plan = state.plan.copy()
        first, _ = planner.predict(later, state)
        again, _ = planner.predict(later, state)
        after = state.history.simulator.get_state()
        assert np.array_equal(first, again) and np.array_equal(plan, state.plan)
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_history_is_what_the_model_would_have_seen(endless_model: WorldGPT) -> None:
    """The ring holds the real steps: imagining from there equals an engine fed with them."""
    moments = [tiny_moments(2, seed=10 * time) for time in range(7)]  # longer than the context
    acts = [np.array([time % 3, (time + 1) % 3]) for time in range(7)]
    none = np.zeros(2, bool)
    history = History.begin(endless_model, moments[0], 2, DREAM, 0)
    for act, moment in zip(acts[:-1], moments[1:], strict=True):
        history = history.after(act, moment, none, 0)
    engine = endless_model.imagination(2, temperature=0.0)
    for act, moment in zip(acts, moments, strict=True):
        out = engine.step(endless_model.encode(moment), torch.from_numpy(act))
    step = history.simulator.fork().step(acts[-1])
    assert all(torch.equal(step.state[m], out.state[m]) for m in out.state)
    assert np.array_equal(step.uncertainty, out.uncertainty.numpy())


def test_an_episode_that_starts_forgets_and_the_others_do_not(endless_model: WorldGPT) -> None:
    planner = RandomShooting(endless_model, PlannerConfig(4, 8))
    first, second = tiny_moments(2), tiny_moments(2, seed=5)
    _, state = planner.predict(first)
    _, mixed = planner.predict(second, state, np.array([False, True]))
    _, fresh = planner.predict(second)
    _, going = planner.predict(second, state)
    assert planner.trace[0].step == 1 and mixed.step.tolist() == [2, 1]
    assert np.array_equal(mixed.plan[1], fresh.plan[1]) and mixed.score[1] == fresh.score[1]
    assert np.array_equal(mixed.plan[0], going.plan[0]) and mixed.score[0] == going.score[0]


def test_rows_that_are_over_are_left_out(endless_model: WorldGPT) -> None:
    planner = RandomShooting(endless_model, PlannerConfig(4, 8))
    _, state = planner.predict(tiny_moments(3))
    later = tiny_moments(3, seed=5)
    _, all_of_them = planner.predict(later, state)
    _, some = planner.predict(picked(later, [0, 2]), state.select([0, 2]))
    assert np.array_equal(some.plan, all_of_them.plan[[0, 2]])
    with pytest.raises(ConfigurationError, match="select"):
        planner.predict(picked(later, [0, 2]), state)


def test_plans_are_made_anew_when_used_up_or_surprised(model: WorldGPT) -> None:
    world = CorridorWorld()
    observation, _ = world.reset(seed=1)
    config = PlannerConfig(6, 16, replan_every=3)
    for limit, reasons in ((None, ["start", "", "", "plan used up"]), (0.2, ["start", "surprise"])):
        planner = RandomShooting(model, replace(config, max_surprise=limit))
        state, told = None, []
        for time in range(len(reasons)):
            other = {**observation, "vector": np.array([1 + 4 * (time % 2)], np.float32)}
            _, state = planner.predict(other, state)
            told.append(planner.trace[0].reason.split(" 0.")[0].split(" 1.")[0])
        assert told == reasons


def test_a_planner_remembers_real_steps_where_the_dream_has_a_memory(
    endless_model: WorldGPT,
) -> None:
    """What was wrongly imagined is amended: the memory holds what was observed, row by row."""
    settings = {"memory": "raw", "horizon": 3, "candidates": 4}
    planner = build_planner("random-shooting", endless_model, settings)
    moments = [tiny_moments(2, seed=10 * time) for time in range(3)]
    state = None
    for moment in moments:
        _, state = planner.predict(moment, state)
    assert state is not None
    kept = state.history.simulator.get_state()
    seen = [endless_model.encode(moment)[Modality.VECTOR] for moment in moments]  # (2, C, G) each
    for step in range(2):
        assert torch.equal(kept["memory/near/state/vector"][:, step].long(), seen[step])
        assert torch.equal(kept["memory/near/next/vector"][:, step].long(), seen[step + 1])


# mistakes ---------------------------------------------------------------------------------------


def test_a_planner_wants_what_its_model_sees(model: WorldGPT) -> None:
    planner = RandomShooting(model)
    with pytest.raises(ConfigurationError, match="raw observations"):
        planner.predict(np.zeros((2, 3)))  # type: ignore[arg-type]
    with pytest.raises(MissingModalityError, match="vector"):
        planner.predict({"text": corridor_moments(2)["text"]})
    with pytest.raises(InvalidObservationError):
        planner.predict({**corridor_moments(2), "vector": np.zeros((2, 4), np.float32)})
    with pytest.raises(ConfigurationError, match="CEMConfig"):
        CEM(model, PlannerConfig())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        (PlannerConfig, {"horizon": 0}, "horizon is 0"),
        (PlannerConfig, {"candidates": 2.5}, "candidates"),
        (PlannerConfig, {"replan_every": 20}, "12 steps"),
        (PlannerConfig, {"discount": 0.0}, "discount"),
        (PlannerConfig, {"uncertainty_penalty": float("nan")}, "uncertainty_penalty"),
        (PlannerConfig, {"max_surprise": -1}, "max_surprise"),
        (PlannerConfig, {"seed": -1}, "seed"),
        (CEMConfig, {"elites": 65}, "elites is 65"),
        (CEMConfig, {"kept": 1.0}, "kept"),
        (MPPIConfig, {"temperature": 0.0}, "temperature"),
        (MPPIConfig, {"trust": 2.0}, "trust"),
    ],
)
def test_impossible_settings_are_told(kind: Any, settings: dict, told: str) -> None:
    with pytest.raises((ConfigurationError, ValueError), match=told):
        kind(**settings)
