"""Step through a learned world, and look at everything a step returns: ``python 01_step.py``."""

import gymnasium as gym

import worldgpt_env  # registers WorldGPT-v0


def main() -> None:
    """Take eight random actions and print what the dream says."""
    env = gym.make("WorldGPT-v0", model="doorkey")
    print(f"worldgpt_env {worldgpt_env.__version__}: {env.observation_space}")
    env.action_space.seed(0)
    observation, info = env.reset(seed=0)
    print(f"starts with {info['text']!r}; the image is {observation['image'].shape}")
    for step in range(8):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        print(
            f"{step}: {info['text']!r} reward {reward:+.2f} uncertainty {info['uncertainty']:.3f}"
            + (f" cut by {info['truncated_by']}" if truncated else "")
        )
        if terminated or truncated:
            observation, info = env.reset()
    env.close()


if __name__ == "__main__":
    main()
