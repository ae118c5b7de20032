"""Random and constant policies speak SB3's ``predict``."""

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from toy_worlds import ButtonWorld

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.policies.baselines import ConstantPolicy, RandomPolicy


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(5),
        spaces.Discrete(3, start=-1),
        spaces.MultiDiscrete([2, 3]),
        spaces.Box(np.float32([-1, 0]), np.float32([1, 5])),
    ],
)
def test_random_actions_fill_the_space(space: spaces.Space) -> None:
    actions, state = RandomPolicy(space, seed=0).predict({"vector": np.zeros((500, 3))})
    assert len(actions) == 500 and state is None
    assert all(space.contains(a) for a in actions)
    again, _ = RandomPolicy(space, seed=0).predict(np.zeros((500, 3)))
    assert np.array_equal(actions, again)
    if isinstance(space, spaces.Discrete):
        assert set(actions) == set(range(int(space.start), int(space.start + space.n)))


def test_an_unbounded_box_has_no_uniform_draw() -> None:
    space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    with pytest.raises(ConfigurationError, match="bounded"):
        RandomPolicy(space).predict(np.zeros((1, 1)))


def test_constant_repeats_and_refuses_what_is_no_action() -> None:
    actions, _ = ConstantPolicy(2, spaces.Discrete(3)).predict(np.zeros((4, 1)))
    assert actions.tolist() == [2, 2, 2, 2]
    with pytest.raises(ConfigurationError, match="not in"):
        ConstantPolicy(3, spaces.Discrete(3))


def test_they_run_where_an_algorithm_runs() -> None:
    env = make_vec_env(ButtonWorld, n_envs=4)
    mean, _ = evaluate_policy(RandomPolicy(env.action_space, 1), env, 60, warn=False)
    assert 2.0 < mean < 3.4  # 8 steps, one button in three
