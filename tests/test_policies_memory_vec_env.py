"""What agents remember: the same in training and in the real world, rows apart, stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO

from worldgpt_env.errors import ConfigurationError, MissingHeadError
from worldgpt_env.frame_stack import FrameStack, FrameStackConfig, observed_now
from worldgpt_env.model import WorldGPT
from worldgpt_env.model.cognition.memory import MemoryConfig
from worldgpt_env.policies import ImaginedVecEnv, LatentExtractor, MemoryVecEnv
from worldgpt_env.policies.memory_vec_env import FrameStackPolicy
from worldgpt_env.policies.store import load_policy, read_policy, save_policy
from worldgpt_env.start_states import StartStates
from worldgpt_env.training.imagination import DreamConfig, dream, open_dream
from worldgpt_env.training.remembering import known_memory

SPACE = spaces.Dict(text=spaces.Box(-1.0, 1.0, (1,)), audio=spaces.Box(-1.0, 1.0, (2,)))


def moment(number: float, rows: int = 2) -> dict[str, np.ndarray]:
    """Return observations that tell the ``number`` and the row."""
    text = (number + 0.1 * np.arange(rows, dtype=np.float32))[:, None]
    return {"text": text, "audio": np.concatenate([text, text], 1)}


class Listener:
    """A policy that does what it saw in a past moment."""

    def __init__(self) -> None:
        self.seen: list[dict[str, np.ndarray]] = []

    def predict(self, observation: Any, **_: Any) -> tuple[np.ndarray, None]:
        self.seen.append(observation)
        return np.zeros(len(observation["text"]), np.int64), None


def test_the_space_says_what_is_shown_in_its_order() -> None:
    past = FrameStack(SPACE, 2, FrameStackConfig(3))
    shown = past.show(moment(0))
    assert list(past.space.spaces) == [
        *("text", "audio", "first_text", "first_audio", "past_text", "past_audio", "past")
    ]
    assert list(shown) == list(past.space.spaces)
    assert all(shown[key][0].shape == part.shape for key, part in past.space.spaces.items())
    assert observed_now(past.space) == ["text", "audio"]


def test_one_row_is_forgotten_and_the_other_goes_on() -> None:
    past = FrameStack(SPACE, 2, FrameStackConfig(2))
    for number in range(4):
        past.keep(moment(number))
    past.forget(np.array([False, True]))
    shown = past.show(moment(9))
    assert shown["past"].tolist() == [[1, 1], [0, 0]]
    assert shown["past_text"][0].tolist() == [2, 3] and not shown["past_text"][1].any()
    assert shown["first_text"][:, 0].tolist() == pytest.approx([0, 9.1])


def test_a_policy_remembers_in_the_real_world_as_in_the_dream() -> None:
    listener, past, state = Listener(), FrameStack(SPACE, 2, FrameStackConfig(2, 5)), None
    policy = FrameStackPolicy(listener, FrameStackConfig(2, 5))
    starts = np.ones(2, bool)
    for number in range(9):
        if number == 6:
            starts = np.array([True, False])
            past.forget(starts)
        wanted = past.show(moment(number))
        past.keep(moment(number))
        before = None if state is None else state.snapshot()
        _, state_after = policy.predict(moment(number), state, starts)
        assert all(np.array_equal(listener.seen[-1][key], wanted[key]) for key in wanted)
        if state is not None and before is not None:  # the caller's own state is left alone
            assert all(before[key].equal(part) for key, part in state.snapshot().items())
        state, starts = state_after, np.zeros(2, bool)
    assert state is not None
    one = state.select(np.array([1]))
    policy.predict({key: value[1:] for key, value in moment(9).items()}, one, np.zeros(1, bool))
    shown = past.show(moment(9))
    assert all(np.array_equal(listener.seen[-1][key][0], shown[key][1]) for key in shown)


def test_a_stored_policy_reads_its_parts_in_the_order_it_learned_them(
    tmp_path: Path, tiny_model: WorldGPT, start_states: StartStates
) -> None:
    """``audio`` comes after ``image`` in a world, and before it in the alphabet."""
    env = MemoryVecEnv(ImaginedVecEnv(tiny_model, 2, start_states=start_states), 1)
    kwargs = {"features_extractor_class": LatentExtractor}
    agent = PPO("MultiInputPolicy", env, n_steps=4, batch_size=8, policy_kwargs=kwargs)
    save_policy(agent, tmp_path / "policy", tiny_model)
    record = read_policy(tmp_path / "policy")
    assert list(record.observation_space.spaces) == list(env.observation_space.spaces)  # type: ignore[attr-defined]
    observation = env.reset()
    wanted = agent.policy.obs_to_tensor(observation)[0]
    again = load_policy(str(tmp_path / "policy"))
    features = [p.policy.extract_features(wanted) for p in (agent, again)]  # type: ignore[attr-defined]
    assert features[0].equal(features[1])


def test_a_cut_run_goes_on_with_what_was_remembered(tiny_folder: str, tmp_path: Path) -> None:
    def run(name: str, *steps: int) -> dict[str, Any]:
        settings = {"n_steps": 8, "net_arch": [8]}
        for count in steps:
            figures = dream(
                DreamConfig(
                    tmp_path / name,
                    tiny_folder,
                    steps=count,
                    num_envs=2,
                    remember=2,
                    remember_over=6,
                    settings=settings,
                    modalities=("text", "vector"),
                )  # fmt: skip
            )
        return figures

    assert run("whole", 64)["steps"] == run("cut", 32, 64)["steps"]
    whole, cut = (load_policy(str(tmp_path / name)) for name in ("whole", "cut"))
    for one, other in zip(
        whole.policy.parameters(),  # type: ignore[attr-defined]
        cut.policy.parameters(),  # type: ignore[attr-defined]
        strict=True,
    ):
        assert one.equal(other)
    extra = read_policy(tmp_path / "whole").extra
    assert known_memory(extra) == FrameStackConfig(2, 6)
    with pytest.raises(ConfigurationError, match="remember_over"):
        DreamConfig(tmp_path, remember_over=3)


def test_in_a_dream_the_model_reads_what_it_is_told_to(tiny_folder: str, tmp_path: Path) -> None:
    asked = DreamConfig(tmp_path / "a", tiny_folder, memory="raw", memory_count=2, memory_over=9)
    simulator = open_dream(asked, WorldGPT.from_pretrained(tiny_folder)).simulator
    assert simulator.config.memory == MemoryConfig("raw", count=2, horizon=9)
    plain = DreamConfig(tmp_path / "a", tiny_folder)
    assert "memory" not in plain.identity() and "knowledge" not in plain.identity()
    assert asked.identity() == plain.identity() | {
        "memory": "raw", "memory_count": 2, "memory_over": 9
    }  # fmt: skip
    known = DreamConfig(tmp_path / "a", tiny_folder, knowledge=tmp_path / "none")
    with pytest.raises(MissingHeadError, match="no reflector"):
        open_dream(known, WorldGPT.from_pretrained(tiny_folder))
    with pytest.raises(ConfigurationError, match="--memory reflected"):
        DreamConfig(tmp_path, memory_over=9)
