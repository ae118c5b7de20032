"""Train PPO inside a learned world, judge it in the real one: ``python 03_... [STEPS]``."""

import sys

from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from worldgpt_env import LatentObservation, WorldGPT, make_world
from worldgpt_env.policies import ImaginedVecEnv


def main(steps: int = 200_000, episodes: int = 50) -> None:
    """Imagine ``steps`` steps, then live ``episodes`` real ones."""
    model = WorldGPT.from_pretrained("doorkey")
    dream = ImaginedVecEnv(model, num_envs=64, seed=0)
    agent = PPO("MultiInputPolicy", dream, n_steps=32, batch_size=512, ent_coef=0.01, seed=0)
    agent.learn(steps)

    # The agent saw codes, so in the real world it looks through the same codecs.
    world = LatentObservation(make_world("doorkey"), model)
    world.reset(seed=1)
    mean, deviation = evaluate_policy(agent, world, n_eval_episodes=episodes, warn=False)
    print(f"real return {mean:.2f} (standard deviation {deviation:.2f}) over {episodes} episodes")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
