"""Baselines: the mean next state of a scenario, and the exact nearest neighbour."""

import numpy as np
import torch

from worldgpt_env.training.evaluation.prediction_baselines import (
    NearestNeighbours,
    mean_next_state,
)


def test_the_mean_next_state_is_of_the_scenario_and_of_rows_that_have_one() -> None:
    next_state = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0], [9.0, 9.0]])
    present = torch.tensor([True, True, True, False])
    scenario = np.array(["pong", "pong", "doom", "pong"])
    wanted = np.array(["doom", "pong", "chess"])
    means, known = mean_next_state(next_state, present, scenario, wanted)
    assert means.tolist() == [[0.0, 5.0], [2.0, 0.0], [0.0, 0.0]]
    assert known.tolist() == [True, True, False]  # no chess in training: said, not guessed


def test_the_nearest_neighbour_is_the_one_of_a_slow_search() -> None:
    draw = torch.Generator().manual_seed(0)
    inputs = [torch.randn(50, 4, generator=draw), torch.randn(50, 3, generator=draw)]
    action = torch.randint(0, 3, (50, 2), generator=draw)
    present = torch.rand(50, generator=draw) < 0.8
    has_next = torch.rand(50, generator=draw) < 0.8
    asked = [torch.randn(20, 4, generator=draw), torch.randn(20, 3, generator=draw)]
    done = torch.randint(0, 3, (20, 2), generator=draw)
    done[0] = 7  # an action that training has never seen
    near = NearestNeighbours(inputs, present, action).nearness(asked, done)
    found, any_at_all = NearestNeighbours.nearest(near, has_next)
    assert any_at_all.all()
    for row in range(20):
        allowed = [n for n in range(50) if present[n] and has_next[n]]
        same = [n for n in allowed if torch.equal(action[n], done[row])] or allowed
        score = {
            n: sum(
                torch.cosine_similarity(a[row], i[n], 0) for a, i in zip(asked, inputs, strict=True)
            )
            for n in same
        }
        assert int(found[row]) == max(score, key=lambda n: float(score[n]))
    assert len({tuple(a.tolist()) for a in action}) > 3


def test_no_neighbour_is_said() -> None:
    one = [torch.ones(1, 2)]
    near = NearestNeighbours(one, torch.tensor([True]), torch.zeros(1, 1)).nearness(
        one, torch.zeros(1, 1)
    )
    assert NearestNeighbours.nearest(near, torch.tensor([False]))[1].tolist() == [False]
