"""Vector dynamics: what they learn, where they doubt, and how they are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from worldgpt_env.model.errors import CheckpointError, ConfigurationError
from worldgpt_env.model.modalities import ActionSpec
from worldgpt_env.model.safe_io import write_tensors
from worldgpt_env.model.vector_dynamics import (
    ActionEncoder,
    FitConfig,
    VectorDynamics,
    VectorDynamicsConfig,
    VectorTransitions,
    fit,
)
from worldgpt_env.model.vector_dynamics.ensemble import EnsembleLinear
from worldgpt_env.model.vector_dynamics.ensemble_dynamics import imagine_rows
from worldgpt_env.model.vector_dynamics.storage import read_dynamics, write_dynamics

GOAL = 1.5


def truth(states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """A swing of two numbers, and a third that never changes."""
    position, speed, still = states.unbind(-1)
    speed = 0.9 * speed - 0.2 * position + 0.3 * actions[..., 0]
    return torch.stack([position + 0.3 * speed, speed, still], dim=-1)


def swing(count: int, seed: int = 0) -> VectorTransitions:
    """Steps of the swing; beyond the goal it ends and pays 100, elsewhere a step costs."""
    generator = torch.Generator().manual_seed(seed)
    states = 2 * torch.rand(count, 3, generator=generator) - 1
    states[:, 0] *= 2
    states = states[states[:, 0] < GOAL]
    actions = 2 * torch.rand(len(states), 1, generator=generator) - 1
    following = truth(states, actions)
    terminated = following[:, 0] >= GOAL
    rewards = torch.where(terminated, 100.0, -0.1 * actions[:, 0].square())
    first = torch.zeros(len(states), dtype=torch.bool)
    first[0] = True
    return VectorTransitions(states, actions, rewards, following, terminated, first)


@pytest.fixture(scope="module")
def learned() -> VectorDynamics:
    torch.manual_seed(0)
    dynamics = VectorDynamics(3, 1, VectorDynamicsConfig(width=64, layers=2))
    result = fit(dynamics, swing(1500), torch.Generator().manual_seed(0), FitConfig(updates=600))
    assert result.change_error < 0.01
    return dynamics


def test_members_are_networks_of_their_own() -> None:
    layer = EnsembleLinear(3, 4, 2)
    features = torch.randn(3, 5, 4)
    for member in range(3):
        alone = nn.functional.linear(
            features[member], layer.weight[member].T, layer.bias[member, 0]
        )
        torch.testing.assert_close(layer(features)[member], alone)


def test_it_predicts_steps_it_never_saw(learned: VectorDynamics) -> None:
    fresh = swing(500, seed=1)
    step = imagine_rows(learned.imaginer(), fresh.states, fresh.actions)
    error = (step.next_states - fresh.next_states)[:, :2].square().mean(0).sqrt()
    spread = (fresh.next_states - fresh.states)[:, :2].std(0)
    assert (error < 0.15 * spread).all()


def test_a_number_that_never_changed_stays_to_the_bit(learned: VectorDynamics) -> None:
    fresh = swing(200, seed=2)
    generator = torch.Generator().manual_seed(0)
    step = imagine_rows(learned.imaginer(), fresh.states, fresh.actions, generator)
    assert torch.equal(step.next_states[:, 2], fresh.states[:, 2])


def test_rare_ends_are_found_and_their_reward_is_paid_there_alone(learned: VectorDynamics) -> None:
    fresh = swing(3000, seed=3)
    assert 0.005 < fresh.terminated.float().mean() < 0.12
    step = imagine_rows(learned.imaginer(), fresh.states, fresh.actions)
    assert step.terminated[fresh.terminated].float().mean() > 0.7
    assert step.terminated[~fresh.terminated].float().mean() < 0.01
    torch.testing.assert_close(
        step.rewards[step.terminated], torch.full_like(step.rewards[step.terminated], 100.0)
    )
    going = ~step.terminated & ~fresh.terminated
    assert (step.rewards[going] - fresh.rewards[going]).abs().max() < 0.05


def test_members_disagree_where_nothing_was_recorded(learned: VectorDynamics) -> None:
    known = swing(300, seed=4)
    usual = learned.disagreement(known.states, known.actions).mean()
    strange = learned.disagreement(known.states + 6.0, known.actions).mean()
    assert strange > 5 * usual


def test_a_row_keeps_its_member_and_the_same_seed_gives_the_same_dream(
    learned: VectorDynamics,
) -> None:
    states, actions = swing(11, seed=5).states, swing(11, seed=5).actions
    imaginer = learned.imaginer()
    first, second = (
        imagine_rows(imaginer, states, actions, torch.Generator().manual_seed(7)) for _ in range(2)
    )
    assert torch.equal(first.next_states, second.next_states)
    rows, members = len(states), len(imaginer.elites)
    each = -(-rows // members)
    for row in range(rows):
        alone = imaginer.step(
            states[row].expand(members, 1, -1), actions[row].expand(members, 1, -1)
        )
        whole = imagine_rows(imaginer, states, actions)
        torch.testing.assert_close(whole.next_states[row], alone.next_states[row // each, 0])


def test_a_llama_read_at_its_signal_tokens_learns_it_too() -> None:
    torch.manual_seed(0)
    config = VectorDynamicsConfig(members=2, elites=2, backbone="llama", width=32, layers=1)
    dynamics = VectorDynamics(3, 1, config)
    fit(dynamics, swing(1000), torch.Generator().manual_seed(0), FitConfig(updates=250))
    fresh = swing(300, seed=1)
    step = imagine_rows(dynamics.imaginer(), fresh.states, fresh.actions)
    error = (step.next_states - fresh.next_states)[:, :2].square().mean(0).sqrt()
    assert (error < 0.35 * (fresh.next_states - fresh.states)[:, :2].std(0)).all()


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_rewards_of_any_scale(scale: float) -> None:
    torch.manual_seed(0)
    data = swing(600)
    data = VectorTransitions(**{**vars(data), "rewards": data.actions[:, 0] * scale})
    dynamics = VectorDynamics(3, 1, VectorDynamicsConfig(members=2, elites=2, width=16, layers=1))
    result = fit(dynamics, data, torch.Generator().manual_seed(0), FitConfig(updates=400))
    assert result.reward_error < 0.1
    step = imagine_rows(dynamics.imaginer(), data.states, data.actions)
    going = ~step.terminated & ~data.terminated
    error = (step.rewards - data.rewards)[going] / scale
    assert error.square().mean().sqrt() < 0.35


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="too few"):
        fit(VectorDynamics(3, 1), swing(12), torch.Generator())


def test_returns_to_go_stop_at_episodes() -> None:
    data = swing(4)
    steps = len(data)
    first = torch.zeros(steps, dtype=torch.bool)
    first[[0, 2]] = True
    data = VectorTransitions(**{**vars(data), "rewards": torch.ones(steps), "first": first})
    expected = [1.5, 1.0] + [sum(0.5**k for k in range(steps - step)) for step in range(2, steps)]
    assert data.returns_to_go(0.5).tolist() == pytest.approx(expected)


def test_written_and_read_it_dreams_the_same(learned: VectorDynamics, tmp_path: Path) -> None:
    write_dynamics(learned, tmp_path)
    found = read_dynamics(tmp_path)
    states, actions = swing(20).states, swing(20).actions
    before, after = (
        imagine_rows(d.imaginer(), states, actions, torch.Generator().manual_seed(1))
        for d in (learned, found)
    )
    assert torch.equal(before.next_states, after.next_states)
    assert torch.equal(before.rewards, after.rewards)
    other = VectorDynamics(4, 1)
    write_tensors(tmp_path / "dynamics.safetensors", other.state_dict())
    with pytest.raises(CheckpointError, match="of another model"):
        read_dynamics(tmp_path)
    (tmp_path / "dynamics.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="dynamics.safetensors"):
        read_dynamics(tmp_path)


def test_actions_become_numbers_from_minus_one_to_one() -> None:
    box = ActionEncoder(ActionSpec("box", (2,), (), (-2.0, 0.0), (2.0, 10.0)))
    encoded = box(np.array([[2.0, 0.0], [0.0, 5.0]], np.float32))
    assert encoded.tolist() == [[1.0, -1.0], [0.0, 0.0]]
    discrete = ActionEncoder(ActionSpec("discrete", (3,)))
    assert discrete(np.array([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    several = ActionEncoder(ActionSpec("multidiscrete", (2, 3)))
    assert several(np.array([[1, 2]])).tolist() == [[0, 1, 0, 0, 1]]
    with pytest.raises(ConfigurationError, match="text"):
        ActionEncoder(ActionSpec.text(["go"], 2))


def test_a_reward_that_depends_on_the_state_says_where_to_go() -> None:
    data = swing(400)
    ended = torch.arange(len(data)) % 50 == 0
    cost = -0.1 * data.actions[:, 0].square()
    goal = torch.where(ended, 100.0, 0.0)
    far = -0.1 * data.states[:, 0].abs()
    for rewards, dense in ((cost, False), (cost + goal, False), (cost + far, True)):
        assert replace(data, rewards=rewards, terminated=ended).has_dense_reward() == dense
    constant = torch.full((len(data),), -1.0)
    assert not replace(data, rewards=constant).has_dense_reward()
