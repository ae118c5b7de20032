"""Record a real world, learn it, see how well it is dreamt: ``python 04_... [STEPS] [UPDATES]``.

A third number trains the codecs for fewer updates than they would take by themselves.
"""

import sys
from pathlib import Path

import numpy as np

from worldgpt_env import Simulator, make_world
from worldgpt_env.training.collect import CollectConfig, collect
from worldgpt_env.training.train import TrainConfig, train


def main(steps: int = 20_000, updates: int = 2_000, codec_updates: int | None = None) -> None:
    """Record ``steps`` random steps, train for ``updates``; the same call goes on after Ctrl-C."""
    recording, model = Path("runs/example/recording"), Path("runs/example/doorkey")
    collect(CollectConfig("doorkey", steps, str(recording)))
    figures = train(
        TrainConfig((recording,), model, "small", updates=updates, codec_updates=codec_updates)
    )
    print(f"{figures['parameters']:,} parameters, {figures['cpu_seconds']} CPU-seconds")
    print(f"next moment exact on held-out episodes: {figures['held_out']}")

    # A dream from a real moment, with the real actions, beside what really happened.
    world = make_world("doorkey")
    world.action_space.seed(1)
    real, _ = world.reset(seed=1)
    dream = Simulator(model)
    dream.reset(seeds=[1], options={"observation": real})
    for step in range(10):
        action = world.action_space.sample()
        real, _, ended, cut, info = world.step(action)
        dreamt = dream.observe(dream.step(np.array([action])).state)
        wrong = (abs(dreamt["image"][0].astype(int) - real["image"]) > 32).any(-1).mean()
        name = world.action_spec.names[action]
        print(f"{step} {name:10s} pixels wrong {wrong:6.1%}  {info['text']} | {dream.texts()[0]}")
        if ended or cut:
            break
    world.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
