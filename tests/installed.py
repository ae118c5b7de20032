"""The installed package at work, as one meets it without a checkout: ``make installed`` runs this.

The interpreter is that of a fresh environment which holds the wheel; the working folder is an
empty one, so nothing of the source tree can be imported by accident.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path


def main() -> None:
    """Import, take a step in every embedded world, and call the console script."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path[:] = [path for path in sys.path if path != str(Path(__file__).parent)]

        import gymnasium as gym

        import worldgpt_env

        site = Path(sysconfig.get_path("purelib"))
        assert Path(worldgpt_env.__file__).is_relative_to(site), worldgpt_env.__file__
        from worldgpt_env.model.checkpoint import embedded_worlds

        for settings in ({}, *({"model": name} for name in embedded_worlds())):
            env = gym.make("WorldGPT-v0", **settings)
            observation, _ = env.reset(seed=0)
            assert observation in env.observation_space
            observation, reward, *_ = env.step(env.action_space.sample())
            assert observation in env.observation_space
            print(f"one step {settings}: {', '.join(observation)}, reward {float(reward):.2f}")
            env.close()

        from worldgpt_env import model, policies, training

        for part in (model, policies, training):
            assert Path(part.__file__ or "").is_relative_to(site), part.__file__
        script = Path(sys.executable).with_name("worldgpt")
        for command in ([script, "info"], [sys.executable, "-m", "worldgpt_env", "--help"]):
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=120)
    print("the wheel works in a fresh environment")


if __name__ == "__main__":
    main()
