"""Record, learn and dream a Gymnasium world of your own: ``python 05_... [STEPS] [UPDATES]``."""

import sys
import tempfile
from pathlib import Path

import gymnasium as gym
import numpy as np

import worldgpt_env  # noqa: F401  (registers WorldGPT-v0)
from worldgpt_env.model.modalities import Modality, VectorSpec
from worldgpt_env.training.collect import CollectConfig, collect
from worldgpt_env.training.train import TrainConfig, train
from worldgpt_env.worlds import World, register_world


class CartPoleWorld(World):
    """CartPole-v1: four numbers, two actions. Yours may have image, sound and words too."""

    world_name = "cartpole"
    options = ()

    def __init__(self) -> None:
        """Say what is seen and what can be done."""
        self._env = gym.make("CartPole-v1")
        names = ("position", "speed", "angle", "turn")
        self._bounds = np.array([2.4, 3.0, 0.25, 3.5], np.float32)
        spec = VectorSpec(names, tuple(-self._bounds), tuple(self._bounds))
        self._declare({Modality.VECTOR: spec}, ("push left", "push right"), render_mode=None)

    def _see(self, numbers):
        return {"vector": np.clip(numbers, -self._bounds, self._bounds).astype(np.float32)}

    def _reset(self):
        numbers, _ = self._env.reset(seed=int(self.np_random.integers(2**31)))
        return self._see(numbers), ""

    def _step(self, action):
        numbers, reward, terminated, truncated, _ = self._env.step(action)
        return self._see(numbers), reward, terminated, truncated and not terminated, ""


def main(steps: int = 5_000, updates: int = 500) -> None:
    """Record ``steps`` random steps, train for ``updates``, and fall over in the dream."""
    register_world(CartPoleWorld)
    with tempfile.TemporaryDirectory() as folder:
        recording, model = Path(folder, "recording"), Path(folder, "cartpole")
        print(collect(CollectConfig("cartpole", steps, str(recording))))
        train(TrainConfig((recording,), model, preset="tiny", updates=updates))
        env = gym.make("WorldGPT-v0", model=str(model))
        observation, _ = env.reset(seed=0)
        ended = False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(1)
            ended = terminated or truncated
            print(observation["vector"].round(2), f"reward {reward:.2f}", "falls" * terminated)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
