"""SAC that dreams of what it lived, beside SAC alone: ``python 08_dyna_callback.py [STEPS]``."""

import sys

import gymnasium as gym
from stable_baselines3 import SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from worldgpt_env.policies import DynaCallback


def main(steps: int = 1_000, episodes: int = 20) -> None:
    """Let both live ``steps`` real steps of Pendulum; the best return there is about -123."""
    for name, callback in {"alone": None, "with dreams": DynaCallback()}.items():
        agent = SAC("MlpPolicy", "Pendulum-v1", learning_rate=1e-3, seed=0)
        agent.learn(steps, callback=callback)
        world = Monitor(gym.make("Pendulum-v1"))
        world.reset(seed=1)
        mean, deviation = evaluate_policy(agent, world, n_eval_episodes=episodes)
        print(f"{name:11}  real return {mean:.0f} (standard deviation {deviation:.0f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
