"""WorldGPT-v0: Gymnasium's and Stable-Baselines3's rules, options, seeds, bad input, copies."""

import copy
import itertools
import json
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.env_util import make_vec_env
from tiny_world import ACTIONS, SENTENCES, SPECS, TinyWorld, build_model, build_start_states

import worldgpt_env
from worldgpt_env.env import WorldGPTEnv
from worldgpt_env.errors import (
    CheckpointError,
    ClosedEnvironmentError,
    ConfigurationError,
    EpisodeEndedError,
    InvalidActionError,
    InvalidObservationError,
    InvalidOptionError,
    InvalidSeedError,
    MissingModalityError,
    MissingStartStatesError,
    NonFiniteError,
    RenderModeError,
    ResetNeededError,
    UnknownModalityError,
    WorldGPTError,
    WorldMismatchError,
)
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.modalities import Modality
from worldgpt_env.start_states import StartStates

Make = Callable[..., gym.Env]


@pytest.fixture
def make(tiny_model: WorldGPT, start_states: StartStates) -> Make:
    """``gym.make`` of the tiny world."""

    def build(**settings: Any) -> gym.Env:
        return gym.make(
            "WorldGPT-v0", **{"model": tiny_model, "start_states": start_states} | settings
        )

    return build


def play(env: gym.Env, steps: int = 20, seed: int = 3) -> list[Any]:
    """Return everything that happens in ``steps`` steps, resetting at each end."""
    env.action_space.seed(seed)
    story: list[Any] = [env.reset(seed=seed)]
    for _ in range(steps):
        story.append(env.step(env.action_space.sample()))
        if story[-1][2] or story[-1][3]:
            story.append(env.reset())
    return story


# the rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("obs_mode", ["decoded", "latent"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_gymnasium_and_sb3_find_nothing_to_complain_about(
    make: Make, obs_mode: str, temperature: float
) -> None:
    env = make(obs_mode=obs_mode, temperature=temperature, render_mode="rgb_array").unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*image.*")  # SB3 wants 36 x 36 for its CNN
        sb3_check_env(env)


@pytest.mark.parametrize("kind", ACTIONS)
def test_every_kind_of_action_plays(kind: str) -> None:
    model = build_model(kind)
    env = gym.make("WorldGPT-v0", model=model, start_states=build_start_states(model))
    check_env(env.unwrapped, skip_render_check=True)
    assert len(play(env)) > 20


def test_the_id_opens_by_module_name_and_its_spec_survives_json(tiny_folder: str) -> None:
    env = gym.make("worldgpt_env:WorldGPT-v0", model=tiny_folder)
    spec = EnvSpec.from_json(env.spec.to_json())
    again = gym.make(spec)
    assert again.spec == env.spec and json.loads(env.spec.to_json())["id"] == "WorldGPT-v0"
    assert data_equivalence(play(env), play(again), exact=True)


def test_sb3_learns_in_the_plain_environment(tiny_folder: str) -> None:
    settings = {"model": tiny_folder, "obs_mode": "latent"}
    env = make_vec_env("worldgpt_env:WorldGPT-v0", 2, env_kwargs=settings)
    PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, n_epochs=1).learn(32)


def test_types_are_those_of_python(make: Make) -> None:
    env = make(temperature=1.0)
    for observation, reward, terminated, truncated, info in (
        step for step in play(env) if len(step) == 5
    ):
        assert type(reward) is float and type(terminated) is bool and type(truncated) is bool
        assert observation in env.observation_space
        assert {key: type(value) for key, value in info.items()} == {
            "uncertainty": float, "consistency": float, "text": str, "truncated_by": str,
        }  # fmt: skip
        assert info["uncertainty"] >= 0 and 0 <= info["consistency"] <= 1


def test_the_text_in_info_is_the_sentence_of_the_word_ids(make: Make) -> None:
    for step in play(make()):
        observation, info = step[0], step[-1]
        assert info["text"] == SPECS[Modality.TEXT].decode(observation["text"])
    assert "text" not in make(modalities=["image"]).reset()[0]
    assert make(modalities=["image"]).reset(options={"index": 0})[1]["text"] in SENTENCES


def test_observations_and_infos_are_new_objects(make: Make) -> None:
    for mode in ("decoded", "latent"):
        story = play(make(obs_mode=mode), 5)
        for one, other in itertools.combinations(story, 2):
            assert one[-1] is not other[-1]
            for key in one[0]:
                assert not np.shares_memory(one[0][key], other[0][key])


def test_changing_an_observation_changes_no_dream(make: Make) -> None:
    one, other = make(), make()
    a, b = one.reset(seed=0)[0], other.reset(seed=0)[0]
    for value in a.values():
        value[...] = 0
    assert not any(np.array_equal(a[key], b[key]) for key in ("image", "audio"))
    assert data_equivalence(one.step(0), other.step(0), exact=True)


# seeds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_same_seed_gives_the_same_dream(make: Make, temperature: float) -> None:
    env = make(temperature=temperature)
    story = play(env)
    assert data_equivalence(story, play(env), exact=True)
    assert data_equivalence(story, play(make(temperature=temperature)), exact=True)
    assert not data_equivalence(story, play(env, seed=4), exact=True)


def test_without_a_seed_dreams_differ(make: Make) -> None:
    starts = {make().reset()[1]["start_index"] for _ in range(20)}
    assert len(starts) > 1


def test_episodes_after_a_seed_differ_from_each_other(make: Make) -> None:
    env = make()
    starts = [env.reset(seed=0)[1]["start_index"]] + [
        env.reset()[1]["start_index"] for _ in range(20)
    ]
    assert len(set(starts)) > 1


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64, 2**100, np.int64(7), np.uint8(7), None])
def test_whole_numbers_are_seeds(make: Make, seed: object) -> None:
    env = make()
    env.reset(seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "seed", [-1, 1.5, 1.0, "a", "1", True, np.float64(1), [1], (), b"1", object()]
)
def test_everything_else_is_no_seed(make: Make, seed: object) -> None:
    with pytest.raises(InvalidSeedError, match="whole number from 0"):
        make().reset(seed=seed)  # type: ignore[arg-type]


# start states and options ------------------------------------------------------------------------


def test_an_index_starts_there(make: Make, tiny_model: WorldGPT, start_states: StartStates) -> None:
    observation, info = make().reset(options={"index": 3})
    assert info["start_index"] == 3
    wanted = tiny_model.decode(start_states.select(np.array([3])))
    for modality, value in wanted.items():
        assert np.array_equal(observation[str(modality)], value[0].numpy())


def test_an_own_observation_starts_there(make: Make, tiny_model: WorldGPT) -> None:
    own = TinyWorld().reset(seed=5)[0]
    observation, info = make(obs_mode="latent").reset(options={"observation": own})
    assert info["start_index"] == -1
    wanted = tiny_model.latent(
        tiny_model.encode({k: torch.from_numpy(v)[None] for k, v in own.items()})
    )
    for modality, value in wanted.items():
        assert np.array_equal(observation[str(modality)], value[0].numpy())


def test_a_dreamt_observation_can_be_dreamt_on(make: Make) -> None:
    env = make()
    observation = env.reset(seed=0)[0]
    again, info = env.reset(options={"observation": observation})
    assert info["text"] == SPECS[Modality.TEXT].decode(observation["text"])
    assert np.array_equal(again["vector"], observation["vector"])


@pytest.mark.parametrize("words", ["the door is open", "red key", "NOTHING"])
def test_a_description_starts_where_its_words_are(make: Make, words: str) -> None:
    assert set(words.lower().split()) <= set(
        make().reset(options={"description": words})[1]["text"].split()
    )


def test_own_start_states_are_all_used(make: Make, start_states: StartStates) -> None:
    env = make(obs_mode="latent")
    starts = {env.reset(seed=seed)[1]["start_index"] for seed in range(300)}
    assert starts == set(range(len(start_states)))
    env = make(start_states=start_states.subset(torch.tensor([4])))
    assert np.array_equal(env.reset()[0]["text"], start_states.codes[Modality.TEXT][4, :, 0])


@pytest.mark.parametrize("kind", ["first", "visited", "mixed"])
def test_the_folder_of_a_model_brings_its_start_states(tiny_folder: str, kind: str) -> None:
    env = gym.make("WorldGPT-v0", model=tiny_folder, start_states=kind, obs_mode="latent")
    first = env.unwrapped.simulator.start_states.first
    starts = [bool(first[env.reset(seed=seed)[1]["start_index"]]) for seed in range(200)]
    share = float(first.float().mean())
    wanted = {"first": 1.0, "visited": share, "mixed": (1 + share) / 2}[kind]
    assert abs(np.mean(starts) - wanted) < (0.12 if kind != "first" else 1e-9)


BAD_OPTIONS: list[tuple[Any, type[WorldGPTError]]] = [
    ("x", InvalidOptionError),
    ([], InvalidOptionError),
    ({"start": 3}, InvalidOptionError),
    ({"index": 3, "description": "door"}, InvalidOptionError),
    ({"index": 23}, InvalidOptionError),
    ({"index": -1}, InvalidOptionError),
    ({"index": 1.5}, InvalidOptionError),
    ({"index": True}, InvalidOptionError),
    ({"index": "3"}, InvalidOptionError),
    ({"index": None}, InvalidOptionError),
    ({"index": [1, 2]}, InvalidOptionError),
    ({"description": 3}, InvalidOptionError),
    ({"description": ""}, InvalidOptionError),
    ({"description": "a flying tiger"}, InvalidOptionError),
    ({"description": None}, InvalidOptionError),
    ({"observation": None}, InvalidObservationError),
    ({"observation": np.zeros(3)}, InvalidObservationError),
    ({"observation": {"image": np.zeros((32, 32, 3), np.uint8)}}, MissingModalityError),
    ({"reset_mask": np.array([True])}, InvalidOptionError),
]


@pytest.mark.parametrize("options, error", BAD_OPTIONS)
def test_bad_options_are_errors_and_change_nothing(
    make: Make, endless_model: WorldGPT, options: Any, error: type[WorldGPTError]
) -> None:
    env, other = (make(model=endless_model, temperature=1.0) for _ in range(2))
    for each in (env, other):
        each.reset(seed=1)
        each.step(0)
    with pytest.raises(error):
        env.reset(options=options)
    assert data_equivalence(env.step(1), other.step(1), exact=True)


def test_a_world_without_text_or_image_or_start_states(tmp_path: Any) -> None:
    model = build_model(modalities=(Modality.VECTOR,))
    states = build_start_states(model)
    env = gym.make("WorldGPT-v0", model=model, start_states=states, render_mode="rgb_array")
    assert env.reset(seed=0)[1]["text"] == ""
    assert env.step(0)[4]["text"] == ""
    assert env.render().any()
    with pytest.raises(MissingModalityError, match="no text to compare"):
        env.reset(options={"description": "door"})
    bare = gym.make("WorldGPT-v0", model=model)
    with pytest.raises(MissingStartStatesError, match="StartStates.from_recording"):
        bare.reset()
    own = {"vector": np.float32([50, 0])}
    assert bare.reset(options={"observation": own})[1]["start_index"] == -1
    model.save_pretrained(tmp_path / "bare")
    with pytest.raises(MissingStartStatesError, match="no start states at"):
        gym.make("WorldGPT-v0", model=str(tmp_path / "bare")).reset()


# out of order ------------------------------------------------------------------------------------


def test_step_render_and_copies_before_a_reset(make: Make) -> None:
    env = make(render_mode="rgb_array")
    for use in (lambda: env.step(0), env.render, env.unwrapped.fork, env.unwrapped.get_state):
        with pytest.raises(ResetNeededError, match=r"observation, info = env.reset\(\)"):
            use()
    with pytest.raises(gym.error.ResetNeeded):  # Gymnasium's own class too
        env.step(0)


def test_step_after_the_end(make: Make) -> None:
    env = make(horizon=1)
    env.reset(seed=0)
    _, _, terminated, truncated, _ = env.step(0)
    assert terminated or truncated
    for _ in range(2):
        with pytest.raises(EpisodeEndedError, match="after the end"):
            env.step(0)
    env.reset()
    env.step(0)


def test_everything_after_close(make: Make) -> None:
    env = make(render_mode="rgb_array")
    env.reset()
    state = env.unwrapped.get_state()
    env.close()
    env.close()
    unwrapped = env.unwrapped
    for use in (
        lambda: env.step(0), env.reset, env.render, unwrapped.fork, unwrapped.get_state,
        lambda: unwrapped.set_state(state),
    ):  # fmt: skip
        with pytest.raises(ClosedEnvironmentError, match="after close"):
            use()


@pytest.mark.parametrize("action", [3, -1, True, None, 0.5, "0", [0], np.array([0]), float("nan")])
def test_bad_actions_are_refused_and_change_nothing(make: Make, action: object) -> None:
    env, other = make(temperature=1.0), make(temperature=1.0)
    for each in (env, other):
        each.reset(seed=1)
    with pytest.raises(InvalidActionError):
        env.step(action)
    assert data_equivalence(env.step(1), other.step(1), exact=True)


@pytest.mark.parametrize(
    "settings, error, words",
    [
        ({"model": "atlantis"}, CheckpointError, "embedded worlds"),
        ({"model": None}, ConfigurationError, "model is a NoneType"),
        ({"obs_mode": "pixels"}, ConfigurationError, "'decoded' or 'latent'"),
        ({"modalities": ["smell"]}, UnknownModalityError, "'smell' is unknown"),
        ({"modalities": ["video"]}, MissingModalityError, "no 'video'"),
        ({"modalities": []}, MissingModalityError, "empty"),
        ({"horizon": 0}, ConfigurationError, "horizon is 0"),
        ({"temperature": -1}, ConfigurationError, "temperature is -1"),
        ({"start_states": "nowhere"}, MissingStartStatesError, "no start states at nowhere"),
        ({"start_states": None}, ConfigurationError, "start_states is None"),
        ({"render_mode": "ansi"}, RenderModeError, "render_mode is 'ansi'"),
        ({"weather": "rain"}, TypeError, "weather"),
    ],
)
def test_bad_arguments_are_errors(
    make: Make, settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(error, match=words):
            make(**settings)


def test_nan_never_leaves_step() -> None:
    model = build_model()
    env = WorldGPTEnv(model, start_states=build_start_states(model))
    env.reset(seed=0)
    with torch.no_grad():
        for parameter in model.dynamics.outcome.reward_head.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="weights"):
        env.step(0)
    with pytest.raises(EpisodeEndedError):
        env.step(0)


# copies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_fork_goes_on_like_the_original(
    make: Make, endless_model: WorldGPT, temperature: float
) -> None:
    env = make(model=endless_model, temperature=temperature).unwrapped
    env.reset(seed=8)
    env.step(0)
    fork = env.fork()
    story = [env.step(t % 2) for t in range(6)]
    assert data_equivalence(story, [fork.step(t % 2) for t in range(6)], exact=True)
    assert data_equivalence(play(env), play(fork), exact=True)
    env.close()
    fork.reset()


def test_states_lead_back_also_past_an_end_and_elsewhere(make: Make) -> None:
    env, other = make(temperature=1.0).unwrapped, make(temperature=1.0).unwrapped
    env.reset(seed=2)
    state = env.get_state()
    kept = copy.deepcopy(state)
    story = []
    for step in range(12):
        story.append(env.step(step % 2))
        if story[-1][2] or story[-1][3]:
            break
    for dream in (env, other):
        dream.set_state(state)
        assert data_equivalence(story, [dream.step(t % 2) for t in range(len(story))], exact=True)
    assert all(torch.equal(state[name], kept[name]) for name in kept)  # and they stay as they are


def test_a_state_is_observed_when_it_is_set(make: Make) -> None:
    env = make().unwrapped
    observation, _ = env.reset(seed=2)
    state = env.get_state()
    env.step(0)
    assert data_equivalence(env.set_state(state), observation, exact=True)
    with pytest.raises(WorldMismatchError):
        env.set_state({"rows/steps": torch.zeros(1)})


# rendering ---------------------------------------------------------------------------------------


def test_frames_are_pictures_of_one_size(make: Make) -> None:
    env = make(render_mode="rgb_array", obs_mode="latent", modalities=["text"])
    env.reset(seed=0)
    frames = [env.render()]
    for action in (0, 1, 0):
        env.reset()
        env.step(action)
        frames.append(env.render())
    assert {frame.shape for frame in frames} == {frames[0].shape}
    assert frames[0].dtype == np.uint8 and frames[0].ndim == 3
    assert not np.array_equal(frames[0], frames[1])


def test_without_a_render_mode_render_says_what_to_type(make: Make) -> None:
    env = make().unwrapped
    env.reset()
    with pytest.raises(RenderModeError, match='render_mode="rgb_array"'):
        env.render()


def test_a_window_opens_shows_and_closes(make: Make) -> None:
    env = make(render_mode="human")
    env.metadata["render_fps"] = 1000
    env.reset(seed=0)
    env.step(0)
    assert env.render() is None
    env.close()
    env.close()


def test_video_wrappers_of_gymnasium_work(make: Make) -> None:
    env = gym.wrappers.RenderCollection(make(render_mode="rgb_array"))
    env.reset(seed=0)
    env.step(0)
    assert len(env.render()) == 2


# the package -------------------------------------------------------------------------------------


def test_lazy_names_are_there() -> None:
    for name in worldgpt_env.__all__:
        assert getattr(worldgpt_env, name) is not None, name
    for name in ("policies", "worlds", "errors", "rendering", "testing", "wrappers", "model"):
        assert getattr(worldgpt_env, name).__name__ == f"worldgpt_env.{name}"
    assert set(worldgpt_env.__all__) <= set(dir(worldgpt_env))
    with pytest.raises(AttributeError, match="no attribute 'wrold'"):
        worldgpt_env.wrold  # noqa: B018


def test_the_class_documents_every_argument() -> None:
    import inspect

    names = set(inspect.signature(WorldGPTEnv).parameters)
    page = WorldGPTEnv.__doc__ or ""
    arguments = page.split("## Arguments")[1].split("## Vectorized")[0]
    rows = {
        line.split("|")[1].strip()
        for line in arguments.splitlines()
        if line.strip().startswith("|")
    }
    assert names == {row for row in rows if row and row != "argument" and not row.startswith("-")}
