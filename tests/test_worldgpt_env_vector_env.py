"""make_vec: bit for bit what single worlds give, in all three autoreset modes."""

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tiny_world import SPECS, TinyWorld, build_model, build_start_states

from worldgpt_env.errors import (
    ClosedEnvironmentError,
    ConfigurationError,
    EpisodeEndedError,
    InvalidActionError,
    InvalidOptionError,
    InvalidSeedError,
    NonFiniteError,
    RenderModeError,
    ResetNeededError,
)
from worldgpt_env.model import WorldGPT
from worldgpt_env.start_states import StartStates

MakeVec = Callable[..., gym.vector.VectorEnv]


@pytest.fixture
def settings(tiny_model: WorldGPT, start_states: StartStates) -> dict[str, Any]:
    """What single and vector environments share; ends and cuts both come often."""
    return {"model": tiny_model, "start_states": start_states, "horizon": 4}


@pytest.fixture
def make_vec(settings: dict[str, Any]) -> MakeVec:
    """``gym.make_vec`` of the tiny world."""
    return lambda rows=3, **more: gym.make_vec("WorldGPT-v0", num_envs=rows, **settings | more)


def singles(rows: int, mode: AutoresetMode, **settings: Any) -> SyncVectorEnv:
    """Return Gymnasium's own vector environment over single dreams."""
    build = lambda: gym.make("WorldGPT-v0", disable_env_checker=True, **settings)  # noqa: E731
    return SyncVectorEnv([build] * rows, autoreset_mode=mode)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_are_single_worlds_bit_for_bit(
    settings: dict[str, Any], rows: int, mode: AutoresetMode, temperature: float
) -> None:
    settings |= {"temperature": temperature, "obs_mode": "decoded" if rows == 3 else "latent"}
    ours = gym.make_vec("WorldGPT-v0", num_envs=rows, autoreset_mode=mode, **settings)
    theirs = singles(rows, mode, **settings)
    assert ours.metadata["autoreset_mode"] is mode
    assert data_equivalence(ours.reset(seed=11), theirs.reset(seed=11), exact=True)
    ours.action_space.seed(0)
    ends = 0
    for _ in range(20):
        actions = ours.action_space.sample()
        one, other = ours.step(actions), theirs.step(actions)
        assert data_equivalence(one, other, exact=True)
        over = one[2] | one[3]
        ends += over.sum()
        if mode is AutoresetMode.DISABLED and over.any():
            one, other = (
                envs.reset(options={"reset_mask": over.copy()}) for envs in (ours, theirs)
            )
            assert data_equivalence(one, other, exact=True)
    assert ends > rows  # every kind of reset was met


def test_rows_in_other_processes_dream_the_same(tiny_folder: str) -> None:
    settings = {"num_envs": 2, "model": tiny_folder, "obs_mode": "latent"}
    ours = gym.make_vec("WorldGPT-v0", **settings)
    theirs = gym.make_vec("WorldGPT-v0", vectorization_mode="async", **settings)
    try:
        assert data_equivalence(ours.reset(seed=0), theirs.reset(seed=0), exact=True)
        for step in range(6):
            actions = np.array([step % 3, 1])
            assert data_equivalence(ours.step(actions), theirs.step(actions), exact=True)
    finally:
        theirs.close(timeout=60)


def test_some_modalities_too(settings: dict[str, Any]) -> None:
    settings |= {"modalities": ["audio", "image"]}
    ours = gym.make_vec("WorldGPT-v0", num_envs=3, **settings)
    theirs = singles(3, AutoresetMode.NEXT_STEP, **settings)
    assert data_equivalence(ours.reset(seed=1), theirs.reset(seed=1), exact=True)
    for step in range(8):
        actions = np.array([step % 3, 0, 1])
        assert data_equivalence(ours.step(actions), theirs.step(actions), exact=True)


def test_spaces_types_and_wrappers(make_vec: MakeVec) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs = make_vec(4)
    assert envs.single_action_space == gym.spaces.Discrete(3)
    assert envs.action_space == gym.spaces.MultiDiscrete([3] * 4)
    observation, _ = envs.reset(seed=0)
    assert observation in envs.observation_space
    assert list(observation) == [str(m) for m in SPECS]
    wrapped = gym.wrappers.vector.RecordEpisodeStatistics(envs)
    wrapped.reset(seed=0)
    seen = [wrapped.step(wrapped.action_space.sample())[-1] for _ in range(10)]
    assert any("episode" in info for info in seen)


def test_the_step_after_an_end_resets(make_vec: MakeVec) -> None:
    envs = make_vec(2, temperature=0.0)
    envs.reset(seed=0)
    over = np.zeros(2, bool)
    for _ in range(12):
        _, reward, terminated, truncated, info = envs.step(np.array([0, 1]))
        assert not reward[over].any() and not (terminated | truncated)[over].any()
        if over.any():
            assert np.array_equal(info["_start_index"], over)
        over = terminated | truncated


def test_the_last_observation_is_kept_when_the_same_step_resets(make_vec: MakeVec) -> None:
    envs, other = make_vec(5, autoreset_mode="SameStep"), make_vec(5, autoreset_mode="Disabled")
    envs.reset(seed=0)
    other.reset(seed=0)
    met = 0
    for step in range(6):
        actions = np.full(5, step % 2)
        _, _, terminated, truncated, info = envs.step(actions)
        last, _, _, _, last_info = other.step(actions)
        over = terminated | truncated
        for row in np.flatnonzero(over):
            met += 1
            assert data_equivalence(
                info["final_obs"][row], {k: v[row] for k, v in last.items()}, exact=True
            )
            assert info["final_info"]["truncated_by"][row] == last_info["truncated_by"][row]
            assert info["final_info"]["uncertainty"][row] > 0 == info["uncertainty"][row]
        if over.any():
            assert np.array_equal(info["_final_obs"], over)
            other.reset(options={"reset_mask": over})
    assert met > 3


def test_max_episode_steps_only_shortens(settings: dict[str, Any]) -> None:
    for given, wanted in ((2, 2), (1000, 4)):
        envs = gym.make_vec("WorldGPT-v0", num_envs=1, max_episode_steps=given, **settings)
        assert envs.unwrapped.simulator.horizon == wanted


def test_options_count_for_all_rows_or_one_each(make_vec: MakeVec) -> None:
    envs = make_vec(3)
    assert envs.reset(options={"index": 2})[1]["start_index"].tolist() == [2, 2, 2]
    assert envs.reset(options={"index": [2, 0, 1]})[1]["start_index"].tolist() == [2, 0, 1]
    texts = envs.reset(options={"description": ["open", "closed", "key"]})[1]["text"]
    assert all(w in text for w, text in zip(("open", "closed", "key"), texts, strict=True))
    own = TinyWorld().reset(seed=1)[0]
    batch = {key: np.stack([value] * 3) for key, value in own.items()}
    one, many = (envs.reset(options={"observation": o})[0] for o in (own, batch))
    assert data_equivalence(one, many, exact=True)
    mask = np.array([True, False, True])
    info = envs.reset(options={"reset_mask": mask, "index": [5, 6]})[1]
    assert info["_start_index"].tolist() == mask.tolist()
    assert info["start_index"].tolist() == [5, 0, 6]


def test_seeds_are_consecutive_or_given_each(make_vec: MakeVec) -> None:
    envs, other = make_vec(3), make_vec(3)
    assert data_equivalence(envs.reset(seed=5), other.reset(seed=[5, 6, 7]), exact=True)
    envs.reset(seed=[1, None, 2])
    for seed in (-1, "a", 1.5, True, [1], [1, 2, "x"]):
        with pytest.raises(InvalidSeedError):
            envs.reset(seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "mask",
    [np.zeros(3, bool), np.ones(2, bool), np.ones(3), [True] * 3, None, np.ones((3, 1), bool)],
)
def test_bad_masks_are_errors(make_vec: MakeVec, mask: Any) -> None:
    envs = make_vec(3)
    envs.reset(seed=0)
    with pytest.raises(InvalidOptionError, match="bool array of shape"):
        envs.reset(options={"reset_mask": mask})


@pytest.mark.parametrize(
    "actions",
    [0, [0, 1, 2], None, np.array([0, 1, 3]), np.zeros(3), np.zeros(2, int), np.zeros(3, bool)],
)
def test_bad_actions_are_errors(make_vec: MakeVec, actions: Any) -> None:
    envs = make_vec(3)
    envs.reset(seed=0)
    with pytest.raises(InvalidActionError):
        envs.step(actions)


def test_out_of_order_is_an_error_that_says_what_to_type(make_vec: MakeVec) -> None:
    envs = make_vec(2, autoreset_mode="Disabled", horizon=1)
    with pytest.raises(ResetNeededError, match="env.reset"):
        envs.step(np.zeros(2, int))
    with pytest.raises(ResetNeededError):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset(seed=0)
    envs.step(np.zeros(2, int))
    with pytest.raises(EpisodeEndedError, match=r"rows \[0, 1\].*reset_mask"):
        envs.step(np.zeros(2, int))
    envs.close()
    envs.close()
    for use in (lambda: envs.step(np.zeros(2, int)), envs.reset, envs.render):
        with pytest.raises(ClosedEnvironmentError, match="after close"):
            use()


def test_unknown_modes_are_errors(make_vec: MakeVec) -> None:
    with pytest.raises(ConfigurationError, match="NextStep.*SameStep.*Disabled"):
        make_vec(autoreset_mode="sometimes")
    with pytest.raises(RenderModeError, match="render_mode is 'human'"):
        make_vec(render_mode="human")
    envs = make_vec()
    envs.reset()
    with pytest.raises(RenderModeError, match='render_mode="rgb_array"'):
        envs.render()


def test_every_row_is_drawn(make_vec: MakeVec) -> None:
    envs = make_vec(3, render_mode="rgb_array", obs_mode="latent")
    envs.reset(seed=0)
    frames = envs.render()
    assert len(frames) == 3 and frames[0].shape == frames[2].shape
    assert frames[0].dtype == np.uint8


def test_one_forward_pass_serves_all_rows(
    make_vec: MakeVec, monkeypatch: pytest.MonkeyPatch
) -> None:
    envs = make_vec(8)
    envs.reset(seed=0)
    engine = envs.unwrapped.simulator._imagination
    passes, forward = [], engine.loop.forward
    monkeypatch.setattr(engine.loop, "forward", lambda x: passes.append(len(x)) or forward(x))
    for _ in range(3):
        envs.step(envs.action_space.sample())
    assert passes == [8, 8, 8]


def test_nan_never_leaves_step_and_a_reset_is_enough() -> None:
    model = build_model()
    envs = gym.make_vec(
        "WorldGPT-v0", num_envs=3, model=model, start_states=build_start_states(model)
    )
    envs.reset(seed=0)
    weight = next(model.dynamics.outcome.reward_head.parameters())
    kept = weight.detach().clone()
    weight.data.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="weights"):
        envs.step(np.zeros(3, int))
    weight.data.copy_(kept)
    envs.reset(seed=0)
    assert np.isfinite(envs.step(np.zeros(3, int))[1]).all()
