"""The real world beside the dream, as a GIF: ``python 02_dream_gif.py [FILE] [STEPS]``.

Both start from the same real moment and are given the same actions; the dream never looks again.
"""

import sys

import gymnasium as gym

from worldgpt_env import make_world
from worldgpt_env.rendering import draw_panel, save_gif, side_by_side


def main(path: str = "dream.gif", steps: int = 40) -> None:
    """Write at most ``steps`` frames, real on the left, dreamt on the right."""
    world = make_world("doorkey")
    world.action_space.seed(3)
    real, _ = world.reset(seed=3)
    dream = gym.make("WorldGPT-v0", model="doorkey", horizon=steps)
    dreamt, _ = dream.reset(seed=3, options={"observation": real})
    frames, ended = [], False
    while not ended:
        left = draw_panel(real, world.specs, "real")
        frames.append(side_by_side(left, draw_panel(dreamt, world.specs, "dreamt")))
        action = world.action_space.sample()
        real, _, *real_ends, told = world.step(action)
        dreamt, _, *dream_ends, info = dream.step(action)
        ended = any(real_ends) or any(dream_ends)
    print(f"after {len(frames)} steps real: {told['text']!r}, dreamt: {info['text']!r}")
    print(f"wrote {save_gif(frames, path)}")
    world.close()
    dream.close()


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:]))
