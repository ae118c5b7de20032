"""The simulator: rows alone, ends and cuts, forks and states, and nothing that is not finite."""

import numpy as np
import pytest
import torch
from tiny_world import SPECS, build_model, build_start_states, set_end

from worldgpt_env.errors import (
    CheckpointError,
    ConfigurationError,
    InvalidActionError,
    InvalidSeedError,
    NonFiniteError,
    ResetNeededError,
    WorldMismatchError,
)
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.modalities import Modality
from worldgpt_env.simulator import Simulator, SimulatorConfig, SimulatorStep
from worldgpt_env.start_states import StartStates


def build(model: WorldGPT, states: StartStates, rows: int = 4, **settings: object) -> Simulator:
    """Return a simulator of ``rows`` rows."""
    return Simulator(model, rows, SimulatorConfig(start_states=states, **settings))  # type: ignore[arg-type]


def act(rows: int, step: int) -> np.ndarray:
    """Return the actions of a step, another one in each row."""
    return (np.arange(rows) + step) % 2


def same(one: SimulatorStep, other: SimulatorStep, rows: list[int]) -> None:
    """Assert that ``one`` is ``other`` in its ``rows``, bit for bit."""
    for name in ("reward", "terminated", "truncated", "uncertainty", "consistency", "truncated_by"):
        assert np.array_equal(getattr(one, name), getattr(other, name)[rows]), name
    for modality, codes in one.state.items():
        assert torch.equal(codes, other.state[modality][rows]), modality


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_dreams_the_same_whatever_is_beside_it_and_whenever_it_was_reset(
    tiny_model: WorldGPT, start_states: StartStates, temperature: float
) -> None:
    rows = 5
    together = build(tiny_model, start_states, rows, temperature=temperature, horizon=4)
    alone = [
        build(tiny_model, start_states, 1, temperature=temperature, horizon=4) for _ in range(rows)
    ]
    together.reset(seeds=list(range(rows)))
    for row, simulator in enumerate(alone):
        simulator.reset(seeds=[row])
    for step in range(25):
        moved = together.step(act(rows, step))
        for row, simulator in enumerate(alone):
            same(simulator.step(act(rows, step)[row : row + 1]), moved, [row])
        over = together.ended
        if over.any():
            together.reset(over)
        for row in np.flatnonzero(over):
            alone[row].reset()


def test_the_horizon_truncates_and_says_so(
    endless_model: WorldGPT, start_states: StartStates
) -> None:
    simulator = build(endless_model, start_states, horizon=3)
    simulator.reset(seeds=[0, 1, 2, 3])
    steps = [simulator.step(act(4, t)) for t in range(3)]
    assert [step.truncated.tolist() for step in steps] == [[False] * 4, [False] * 4, [True] * 4]
    assert [step.terminated.any() for step in steps] == [False] * 3
    assert steps[0].truncated_by.tolist() == [""] * 4
    assert steps[2].truncated_by.tolist() == ["horizon"] * 4


def test_the_end_of_the_world_wins_over_the_horizon_and_over_distrust() -> None:
    model = build_model()
    set_end(model, 30.0)
    for settings in ({"horizon": 1}, {"max_uncertainty": 0.0}):
        simulator = build(model, build_start_states(model), **settings)
        simulator.reset(seeds=[0, 1, 2, 3])
        step = simulator.step(act(4, 0))
        assert step.terminated.all() and not step.truncated.any()
        assert step.truncated_by.tolist() == [""] * 4


def test_lost_trust_truncates_and_says_so(
    endless_model: WorldGPT, start_states: StartStates
) -> None:
    simulator = build(endless_model, start_states)
    simulator.reset(seeds=[0, 1, 2, 3])
    limit = float(np.median(simulator.fork().step(act(4, 0)).uncertainty))
    careful = build(endless_model, start_states, max_uncertainty=limit)
    careful.reset(seeds=[0, 1, 2, 3])
    step = careful.step(act(4, 0))
    assert np.array_equal(step.truncated, step.uncertainty > limit)
    assert 0 < step.truncated.sum() < 4
    assert (step.truncated_by == "uncertainty").tolist() == step.truncated.tolist()


def test_the_penalty_is_taken_off_the_reward(
    tiny_model: WorldGPT, start_states: StartStates
) -> None:
    free, strict = (build(tiny_model, start_states, uncertainty_penalty=p) for p in (0.0, 0.5))
    for simulator in (free, strict):
        simulator.reset(seeds=[0, 1, 2, 3])
    one, other = free.step(act(4, 0)), strict.step(act(4, 0))
    assert (one.uncertainty > 0).all()
    assert np.array_equal(other.reward, one.reward - np.float32(0.5) * one.uncertainty)


def test_without_temperature_an_end_comes_when_it_is_more_likely_than_not(
    start_states: StartStates,
) -> None:
    model = build_model()
    for logit, wanted in ((-0.1, False), (0.1, True)):
        set_end(model, logit)
        simulator = build(model, start_states, 16, temperature=0.0)
        simulator.reset(seeds=list(range(16)))
        assert simulator.step(act(16, 0)).terminated.tolist() == [wanted] * 16


def test_with_temperature_ends_come_as_often_as_predicted(
    tiny_model: WorldGPT, start_states: StartStates
) -> None:
    simulator = build(tiny_model, start_states, 512, temperature=1.0)
    state = simulator.reset(seeds=list(range(512)), options={"index": 0})
    chance = tiny_model.predict(state, torch.zeros(512, dtype=torch.int64)).termination.numpy()
    share = simulator.step(np.zeros(512, np.int64)).terminated.mean()
    assert 0.02 < chance[0] < 0.98 and abs(share - chance[0]) < 0.08


def test_the_reward_is_that_of_the_outcome_that_came(
    tiny_model: WorldGPT, start_states: StartStates
) -> None:
    simulator = build(tiny_model, start_states, 64, temperature=1.0)
    state = simulator.reset(seeds=list(range(64)), options={"index": 0})
    rewards = tiny_model.predict(state, torch.zeros(64, dtype=torch.int64)).rewards.numpy()
    step = simulator.step(np.zeros(64, np.int64))
    assert 0 < step.terminated.sum() < 64 and (rewards[:, 0] != rewards[:, 1]).all()
    assert np.array_equal(step.reward, rewards[np.arange(64), step.terminated.astype(int)])


def test_ended_rows_stand_still(tiny_model: WorldGPT, start_states: StartStates) -> None:
    simulator = build(tiny_model, start_states, 8, temperature=1.0, horizon=6)
    simulator.reset(seeds=list(range(8)))
    for step in range(7):
        before, over = {m: c.clone() for m, c in simulator.state.items()}, simulator.ended
        moved = simulator.step(act(8, step))
        assert not moved.reward[over].any() and not moved.terminated[over].any()
        for modality, codes in moved.state.items():
            assert torch.equal(codes[over], before[modality][over])
    assert simulator.ended.all()


def test_resetting_some_rows_leaves_the_others_alone(
    tiny_model: WorldGPT, start_states: StartStates
) -> None:
    one, other = (build(tiny_model, start_states, 4, temperature=0.5) for _ in range(2))
    for simulator in (one, other):
        simulator.reset(seeds=[0, 1, 2, 3])
        simulator.step(act(4, 0))
    one.reset([1], seeds=[77])
    kept = [0, 2, 3]
    a, b = one.step(act(4, 1)), other.step(act(4, 1))
    assert np.array_equal(a.reward[kept], b.reward[kept])
    assert not np.array_equal(a.uncertainty[1], b.uncertainty[1])


def test_forks_go_on_like_the_original_and_apart_from_it(
    tiny_model: WorldGPT, start_states: StartStates
) -> None:
    simulator = build(tiny_model, start_states, 3, temperature=1.0)
    simulator.reset(seeds=[0, 1, 2])
    simulator.step(act(3, 0))
    fork, untouched = simulator.fork([2, 2, 0]), simulator.fork()
    for step in range(1, 6):
        actions = act(3, step)
        moved = simulator.step(actions)
        same(fork.step(actions[[2, 2, 0]]), moved, [2, 2, 0])
    assert untouched.step(act(3, 1)).uncertainty.any()  # still at the moment of the fork


def test_a_fork_with_new_seeds_dreams_other_futures(
    tiny_model: WorldGPT, start_states: StartStates
) -> None:
    simulator = build(tiny_model, start_states, 1, temperature=2.0)
    simulator.reset(seeds=[0])
    futures = simulator.fork([0] * 8, seeds=list(range(8))).step(np.zeros(8, np.int64))
    copies = simulator.fork([0] * 8).step(np.zeros(8, np.int64))
    assert len({tuple(c.flatten().tolist()) for c in next(iter(futures.state.values()))}) > 1
    assert all(
        torch.equal(c, codes[:1].expand_as(c)) for codes in copies.state.values() for c in [codes]
    )


def test_a_state_leads_back_exactly(tiny_model: WorldGPT, start_states: StartStates) -> None:
    simulator = build(tiny_model, start_states, 3, temperature=1.0)
    simulator.reset(seeds=[0, 1, 2])
    simulator.step(act(3, 0))
    state = simulator.get_state()
    story = [simulator.step(act(3, t)) for t in range(1, 7)]
    elsewhere = build(tiny_model, start_states, 3, temperature=1.0)
    for other in (simulator, elsewhere):
        other.set_state(state)
        for step, wanted in enumerate(story, start=1):
            same(other.step(act(3, step)), wanted, [0, 1, 2])


def test_states_of_another_size_or_model_are_refused(
    tiny_model: WorldGPT, start_states: StartStates
) -> None:
    one, two = build(tiny_model, start_states, 1), build(tiny_model, start_states, 2)
    two.reset(seeds=[0, 1])
    for wrong in (two.get_state(), {}, None, {"state/image": torch.zeros(1)}):
        with pytest.raises(WorldMismatchError, match="get_state"):
            one.set_state(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "part",
    [
        "embedding.action_slot",
        "embedding.signal_tokens.audio",
        "backbone.model.layers.0.mlp.down_proj.weight",
        "outcome.reward_head",
        "outcome.termination_head",
        "ensemble",
        "state.state_heads.image.outer.bias",
        "embedding.cell_embeddings.text.place",
        "embedding.token_projections.vector.place",
        "embedding.action_embedding",
        "consistency",
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nothing_that_is_not_finite_leaves_a_step(part: str, value: float) -> None:
    model = build_model()
    states = build_start_states(model)
    with torch.no_grad():
        poisoned = [p for name, p in model.dynamics.named_parameters() if name.startswith(part)]
        poisoned[-1].view(-1)[-1] = value
    simulator = build(model, states, 4)
    simulator.reset(seeds=[0, 1, 2, 3])
    with pytest.raises(NonFiniteError, match="checkpoint"):
        for step in range(30):
            moved = simulator.step((np.arange(4) + step) % 3)
            for name in ("reward", "uncertainty", "consistency"):
                assert np.isfinite(getattr(moved, name)).all()
            simulator.reset(simulator.ended) if simulator.ended.any() else None
    assert simulator.ended.all()  # every row has to be reset


@pytest.mark.parametrize("obs_mode", ["decoded", "latent"])
def test_nothing_that_is_not_finite_is_observed(
    start_states: StartStates, obs_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model()
    simulator = build(model, start_states, 2, obs_mode=obs_mode)
    simulator.reset(seeds=[0, 1])
    for name in ("decode", "latent"):
        monkeypatch.setattr(
            model, name, lambda state: {Modality.VECTOR: torch.full((2, 2), torch.nan)}
        )
    with pytest.raises(NonFiniteError, match="vector"):
        simulator.observe()


def test_after_an_error_a_reset_is_enough(tiny_model: WorldGPT, start_states: StartStates) -> None:
    model = build_model()
    simulator, healthy = build(model, start_states, 2), build(tiny_model, start_states, 2)
    weight = next(model.dynamics.outcome.reward_head.parameters())
    kept = weight.detach().clone()
    simulator.reset(seeds=[0, 1])
    healthy.reset(seeds=[5, 6])
    with torch.no_grad():
        weight.fill_(float("nan"))
    with pytest.raises(NonFiniteError):
        simulator.step(act(2, 0))
    with torch.no_grad():
        weight.copy_(kept)
    simulator.reset(seeds=[5, 6])
    same(simulator.step(act(2, 0)), healthy.step(act(2, 0)), [0, 1])


def test_observations_have_the_chosen_modalities_in_the_spaces(
    tiny_model: WorldGPT, start_states: StartStates
) -> None:
    for mode in ("decoded", "latent"):
        simulator = build(tiny_model, start_states, 3, obs_mode=mode, modalities=("text", "image"))
        simulator.reset(seeds=[0, 1, 2])
        observation = simulator.observe()
        assert list(observation) == ["image", "text"]
        for row in range(3):
            assert {k: v[row] for k, v in observation.items()} in simulator.observation_space
    assert list(simulator.raw()) == [str(m) for m in SPECS]


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"obs_mode": "pixels"}, "'decoded' or 'latent'"),
        ({"horizon": 0}, "whole number from 1"),
        ({"horizon": 2.5}, "whole number from 1"),
        ({"horizon": True}, "whole number from 1"),
        ({"temperature": -1.0}, "temperature is -1.0; use a number from 0"),
        ({"temperature": float("nan")}, "use a number from 0"),
        ({"temperature": float("inf")}, "finite"),
        ({"max_uncertainty": "much"}, "use a number from 0"),
        ({"uncertainty_penalty": None}, "use a number from 0"),
        ({"uncertainty_penalty": float("inf")}, "finite"),
        ({"start_states": 3}, "start_states is 3"),
    ],
)
def test_impossible_settings_are_errors_with_the_value(
    tiny_model: WorldGPT, settings: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Simulator(tiny_model, 1, SimulatorConfig(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [0, -1, 1.5, "4", None, True])
def test_impossible_numbers_of_rows_are_errors(tiny_model: WorldGPT, rows: object) -> None:
    with pytest.raises(ConfigurationError, match="num_envs"):
        Simulator(tiny_model, rows)  # type: ignore[arg-type]


def test_unknown_models_are_errors_that_list_the_known() -> None:
    with pytest.raises(CheckpointError, match="no world model 'atlantis'.*embedded worlds"):
        Simulator("atlantis")
    with pytest.raises(ConfigurationError, match="model is a int"):
        Simulator(7)  # type: ignore[arg-type]


def test_steps_before_a_reset_and_wrong_rows_and_seeds_are_errors(
    tiny_model: WorldGPT, start_states: StartStates
) -> None:
    simulator = build(tiny_model, start_states, 2)
    for use in (
        lambda: simulator.step(act(2, 0)),
        simulator.observe,
        simulator.fork,
        simulator.get_state,
    ):
        with pytest.raises(ResetNeededError, match="call reset"):
            use()
    simulator.reset([0])
    with pytest.raises(ResetNeededError, match="every row"):
        simulator.step(act(2, 0))
    for rows in ([2], [-1], [], [True], np.zeros(2, bool), [[0]], [0.5]):
        with pytest.raises(ConfigurationError, match="not rows"):
            simulator.reset(rows)  # type: ignore[arg-type]
    for seeds in ([-1, 0], [1.5, 0], ["a", 0], [True, 0], [0], [0, 1, 2]):
        with pytest.raises(InvalidSeedError, match="seed"):
            simulator.reset(seeds=seeds)  # type: ignore[arg-type]
    simulator.reset()
    with pytest.raises(InvalidActionError):
        simulator.step(np.array([0, 9]))
