"""Worlds in other processes step, however these are started and whatever torch did before.

Each case is a script in a process of its own, with as many threads as torch likes, a limit of time,
and a look for processes that it left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import children
import pytest

SECONDS = 240  # of which a healthy case needs 10 to 20 on two busy cores

PARENT = """
import os, sys
import gymnasium as gym
import numpy as np

WORLD = {world!r}


def use_threads():
    import torch

    torch.set_num_threads(2)
    size = 512
    for _ in range(3):
        product = torch.randn(size, size) @ torch.randn(size, size)
        picture = torch.nn.functional.conv2d(torch.randn(4, 8, 64, 64), torch.randn(8, 8, 3, 3))
        total = torch.randn(2_000_000).exp().sum() + product.sum() + picture.sum()
    assert torch.isfinite(total)


def make(model=WORLD):
    import worldgpt_env

    return gym.make("WorldGPT-v0", model=model)


def alone(steps=4, rows=2):
    '''What two single worlds give here with one thread: images and rewards, (steps, rows, ...).'''
    import torch

    torch.set_num_threads(1)
    envs = [make() for _ in range(rows)]
    images = [[env.reset(seed=row)[0]["image"] for row, env in enumerate(envs)]]
    rewards = []
    for step in range(1, steps):
        stepped = [env.step((step + row) % 3) for row, env in enumerate(envs)]
        images.append([one[0]["image"] for one in stepped])
        rewards.append([one[1] for one in stepped])
    return np.array(images), np.array(rewards)


def compare(envs, steps=4):
    '''Play a vector environment of Gymnasium and compare it with single worlds.'''
    images = [envs.reset(seed=0)[0]["image"].copy()]
    rewards = []
    for step in range(1, steps):
        observation, reward, *_ = envs.step(np.array([step % 3, (step + 1) % 3]))
        images.append(observation["image"].copy())
        rewards.append(reward)
    envs.close()
    wanted = alone(steps)
    assert np.array_equal(np.array(images), wanted[0]), "other images than a single world gives"
    assert np.array_equal(np.array(rewards), wanted[1]), "other rewards than a single world gives"
    print("same")


def main():
{body}


if __name__ == "__main__":
    main()
"""

CASES = {
    "AsyncVectorEnv": """
        import worldgpt_env
        compare(gym.vector.AsyncVectorEnv([make] * 2))
    """,
    "AsyncVectorEnv after torch computed with two threads": """
        use_threads()
        compare(gym.vector.AsyncVectorEnv([make] * 2))
    """,
    "make_vec": """
        import worldgpt_env
        use_threads()
        compare(gym.make_vec("WorldGPT-v0", 2, vectorization_mode="async", model=WORLD))
    """,
    "AsyncVectorEnv of a model that is open": """
        import worldgpt_env
        use_threads()
        model = worldgpt_env.WorldGPT.from_pretrained(WORLD)
        env = make(model)
        env.reset(seed=3)
        env.step(1)
        compare(gym.vector.AsyncVectorEnv([lambda: make(model)] * 2))
    """,
    "fork in the middle of an episode": """
        import torch, worldgpt_env
        use_threads()
        envs = gym.make_vec("WorldGPT-v0", num_envs=64, model=WORLD)
        envs.reset(seed=3)
        envs.step(np.ones(64, np.int64))
        child = os.fork()
        if child == 0:
            envs.step(np.ones(64, np.int64))
            os._exit(0 if torch.get_num_threads() == 1 else 3)
        assert os.waitpid(child, 0)[1] == 0
        assert torch.get_num_threads() == 2  # the parent keeps its threads
        envs.step(np.ones(64, np.int64))
        print("same")
    """,
    "a child that imports the package, of a parent that does not": """
        import multiprocessing
        use_threads()
        context = multiprocessing.get_context("fork")
        def play():
            env = make()
            env.reset(seed=0)
            env.step(1)
        child = context.Process(target=play)
        child.start()
        child.join()
        assert child.exitcode == 0
        print("same")
    """,
}
METHODS = {
    f"AsyncVectorEnv by {method}": f"""
        import worldgpt_env
        use_threads()
        os.environ["OMP_NUM_THREADS"] = "1"  # of the children, which start anew: the same bits
        compare(gym.vector.AsyncVectorEnv([make] * 2, context="{method}"))
    """
    for method in ("spawn", "forkserver")
} | {
    f"SubprocVecEnv by {method}": f"""
        from stable_baselines3.common.vec_env import SubprocVecEnv
        use_threads()
        os.environ["OMP_NUM_THREADS"] = "1"
        envs = SubprocVecEnv([make] * 2, start_method="{method}")
        envs.seed(0)
        images = [envs.reset()["image"]]
        for step in range(1, 4):
            images.append(envs.step(np.array([step % 3, (step + 1) % 3]))[0]["image"])
        envs.close()
        assert np.array_equal(np.array(images), alone()[0])
        print("same")
    """
    for method in ("fork", "spawn", "forkserver")
}


def run(script: Path) -> str:
    """Run ``script`` with the threads that torch chooses; return what it printed.

    It is killed with all its children when its time is over, and must leave none behind.
    """
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    command = [sys.executable, "-W", "ignore", str(script)]
    with children.child(command, env=env, **streams) as process:
        try:
            printed, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            pytest.fail(f"it hangs: no end after {SECONDS} seconds; so far: {printed[-500:]}")
        assert process.returncode == 0, printed[-2000:]
        for _ in range(100):  # Python's own helper of spawn and forkserver ends a moment later
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return printed
            time.sleep(0.1)
    pytest.fail(f"it left processes behind; it printed {printed[-500:]}")


def write(folder: Path, body: str, world: str) -> Path:
    """Return a script in ``folder`` whose ``main`` is ``body``."""
    script = folder / "script.py"
    lines = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
    script.write_text(PARENT.format(world=world, body=lines), encoding="utf-8")
    return script


@pytest.mark.parametrize("case", CASES)
def test_a_forked_world_steps(case: str, tmp_path: Path) -> None:
    assert "same" in run(write(tmp_path, CASES[case], "doorkey"))


@pytest.mark.slow
@pytest.mark.parametrize("case", METHODS)
def test_worlds_step_by_every_start_method(case: str, tmp_path: Path) -> None:
    assert "same" in run(write(tmp_path, METHODS[case], "doorkey"))


@pytest.mark.slow
@pytest.mark.parametrize("case", ["make_vec", "AsyncVectorEnv of a model that is open"])
def test_a_world_with_sound_steps_too(case: str, tmp_path: Path) -> None:
    assert "same" in run(write(tmp_path, CASES[case], "doom-audio"))
