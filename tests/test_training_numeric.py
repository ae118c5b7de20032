"""Dyna on numbers: it learns, goes on bit for bit after a kill, and loses nothing to crashes."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import children
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from tqdm import tqdm

from worldgpt_env.errors import ConfigurationError
from worldgpt_env.policies.store import load_policy
from worldgpt_env.training.cli import main
from worldgpt_env.training.numeric import NumericDynaConfig, numeric_dyna
from worldgpt_env.training.numeric.agents import recipe_for
from worldgpt_env.training.numeric.experience import RealSteps, StepRecorder
from worldgpt_env.training.numeric.player import CoherentRandom, RealPlayer
from worldgpt_env.worlds import World, WorldError, make_world, wrap

QUICK = [
    *("--real-steps", "80", "--round-steps", "20", "--first-updates", "20", "--updates", "10"),
    *("--episodes", "2", "--explore", "0.5"),
]
SMALL = {
    "CartPole-v1": ["--agent", "imagined_steps=1024", "num_envs=16", "n_steps=16", "batch_size=64"],
    "Pendulum-v1": ["--agent", "least_updates=20", "updates_per_step=1", "branches=20"],
}


class Lane(gym.Env[Any, Any]):
    """A cart on a lane of length 2: go right to its end, which pays 1; a step costs a little."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,))
    action_space = spaces.Discrete(3, start=-1)
    steps = 0  # of all of them: one that is opened anew does not crash at the same place

    def __init__(self, crash_after: int = 0) -> None:
        self.crash_after = crash_after

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.speed = float(self.np_random.uniform(-0.2, 0.2)), 0.0
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        Lane.steps += 1
        if self.crash_after and Lane.steps % self.crash_after == 0:
            raise RuntimeError("the cart broke")
        self.speed = 0.8 * self.speed + 0.05 * int(action)
        self.place += self.speed
        ended = self.place > 1
        return self._see(), 1.0 if ended else -0.01, ended, False, {}

    def _see(self) -> np.ndarray:
        return np.array([self.place, self.speed], np.float32)


for name, options in {"TestLane-v0": {}, "TestBreakingLane-v0": {"crash_after": 61}}.items():
    gym.register(name, entry_point=Lane, kwargs=options, max_episode_steps=40)


def run(env_id: str, out: Path, *more: str) -> dict[str, Any]:
    path = out.with_suffix(".json")
    assert main(["dyna", "--env", env_id, "--out", str(out), "--json", str(path), *more]) == 0
    return dict(json.loads(path.read_text()))


def whole(out: Path) -> dict[str, bytes]:
    """Every file of a run but the clocks, by its path."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("metrics.json", "manifest.json", "policy.json")
    }


def test_a_lane_is_learned_in_three_hundred_real_steps(tmp_path: Path) -> None:
    agent = ["--agent", "imagined_steps=16384", "--first-updates", "300", "--updates", "150"]
    figures = run(
        "TestLane-v0", tmp_path / "lane", "--real-steps", "300", "--round-steps", "100", *agent
    )
    last = figures["rounds"][-1]
    assert last["real_steps"] == 300 == figures["real_steps"]
    assert last["judgement"]["return"] > 0.8  # at random -0.3; at once to the end 0.9
    assert last["dream"]["return"] == pytest.approx(last["judgement"]["return"], abs=0.1)


@pytest.mark.parametrize("space", [spaces.Discrete(2), spaces.Box(-1, 1, (1,))])
def test_impossible_settings_of_an_agent_are_refused(space: spaces.Space) -> None:
    recipe = recipe_for(space)
    for name in vars(recipe):
        for value in ("x", None, [1], {}, True, -1, float("nan"), float("inf"), 10**30):
            with pytest.raises(ConfigurationError, match=f"Recipe.{name} is "):
                recipe_for(space, {name: value})


@pytest.mark.parametrize(
    "change", [{"updates": 0}, {"explore": float("nan")}, {"episodes": 1.5}, {"real_steps": "9"}]
)
def test_impossible_settings_of_a_run_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(change))):
        NumericDynaConfig(tmp_path, "gym:CartPole-v1", **change)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_a_killed_run_goes_on_bit_for_bit(env_id: str, tmp_path: Path) -> None:
    settings = [*QUICK, *SMALL[env_id]]
    straight = run(env_id, tmp_path / "straight", *settings)
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "worldgpt_env", "dyna", "--env", env_id]
    with children.child([*command, "--out", str(killed), *settings]) as process:
        while not (killed / "round-1" / "manifest.json").is_file():
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    resumed = run(env_id, killed, *settings)
    assert whole(killed) == whole(tmp_path / "straight")
    for one, other in zip(straight["rounds"], resumed["rounds"], strict=True):
        for part in ("real_steps", "recording", "dynamics", "agent", "dream", "judgement"):
            assert one[part] == other[part]
    with pytest.raises(ConfigurationError, match="seed"):
        numeric_dyna(
            NumericDynaConfig(killed, f"gym:{env_id}", real_steps=80, round_steps=20, seed=5)
        )


def test_crashes_cost_an_episode_and_are_counted(tmp_path: Path) -> None:
    Lane.steps = 0
    figures = run("TestBreakingLane-v0", tmp_path / "run", *QUICK, *SMALL["CartPole-v1"])
    assert figures["rounds"][-1]["real_steps"] == 80
    crashes = figures["rounds"][-1]["recording"]["crashes"]
    crashes += sum(round_["judgement"]["crashes"] for round_ in figures["rounds"])
    assert crashes == Lane.steps // 61 >= 1
    for number in range(4):
        steps = RealSteps.load(tmp_path / "run" / f"round-{number}" / "steps.safetensors")
        assert len(steps) == 20
        assert np.array_equal(steps.first[1:], steps.ended[:-1])


def test_an_environment_that_always_crashes_is_given_up() -> None:
    player = RealPlayer(lambda: wrap(Lane(crash_after=1)), seed=0)
    choose = CoherentRandom(player.world.action_spec, 40, np.random.default_rng(0))
    with pytest.raises(WorldError, match="failed 5 times"), tqdm(disable=True) as bar:
        player.play(3, choose, StepRecorder(), bar)


def test_an_episode_is_found_again_by_its_actions() -> None:
    def opened() -> World:
        return make_world("gym:Pendulum-v1")

    first, recorder = RealPlayer(opened, seed=4), StepRecorder()
    choose = CoherentRandom(first.world.action_spec, 200, np.random.default_rng(0))
    with tqdm(disable=True) as bar:
        first.play(230, choose, recorder, bar)
        second = RealPlayer(opened, seed=4)
        assert second.find_back(recorder.steps())
        more, again = StepRecorder(), StepRecorder()
        hold = CoherentRandom(first.world.action_spec, 200, np.random.default_rng(1))
        first.play(20, hold, more, bar)
        hold = CoherentRandom(first.world.action_spec, 200, np.random.default_rng(1))
        second.play(20, hold, again, bar)
    assert np.array_equal(more.steps().next_states, again.steps().next_states)
    assert not again.steps().first.any()


def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "run")]
    for arguments, said in (
        (["--env", "CartPol-v1"], "did you mean CartPole-v1"),
        (["--env", "CartPole-v1", "--rounds", "3"], "--rounds cannot be used with --env"),
        (["--env", "CartPole-v1", "--agent", "speed=3"], "no setting speed"),
        (["--env", "CartPole-v1", "--real-steps", "3"], "from 20 to"),
        ([], "give either --env ID"),
    ):
        assert main(["dyna", *arguments, *out]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
        assert not (tmp_path / "run" / "round-0").exists()


def test_the_policy_is_judged_by_evaluate_too(tmp_path: Path) -> None:
    figures = run("Pendulum-v1", tmp_path / "run", *QUICK, *SMALL["Pendulum-v1"])
    policy = load_policy(figures["policy"])
    observation, _ = make_world("gym:Pendulum-v1").reset(seed=0)
    action, _ = policy.predict({"vector": observation["vector"][None]}, deterministic=True)
    assert action.shape == (1, 1) and (np.abs(action) <= 2).all()
    assert main(["evaluate", "--policy", figures["policy"], "--episodes", "1"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "steps", "bar"), [("CartPole-v1", 1500, 475), ("Pendulum-v1", 2000, -170)]
)
def test_small_worlds_reach_their_bars(env_id: str, steps: int, bar: float, tmp_path: Path) -> None:
    figures = run(env_id, tmp_path / "run", "--real-steps", str(steps))
    assert figures["rounds"][-1]["judgement"]["return"] >= bar
    assert figures["cpu_seconds"] < 900
