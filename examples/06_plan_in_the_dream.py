"""Plan in a dream and act in the real world, without training: ``python 06_... [EPISODES]``."""

import sys

from worldgpt_env import make_world
from worldgpt_env.policies.planning import Decomposition, DecompositionConfig, MissionProposer


def main(episodes: int = 3) -> None:
    """Follow a goal of two parts in DoorKey, and say what is planned when."""
    goal = "pick up the key then open the door"  # and then the reward, which is at the goal
    config = DecompositionConfig(horizon=12, candidates=64, iterations=3, replan_every=4)
    planner = Decomposition("doorkey", MissionProposer(), goal, config)
    world, solved = make_world("doorkey", max_steps=60), 0
    for episode in range(episodes):
        observation, _ = world.reset(seed=episode)
        state, ended = None, False
        while not ended:
            action, state = planner.predict(observation, state)
            note = planner.trace[0]
            if note.reason:
                print(f"step {note.step}: towards {note.subgoal!r} ({note.reason})")
            observation, reward, terminated, truncated, _ = world.step(int(action))
            ended = terminated or truncated
        solved += reward > 0
        print(f"episode {episode}: reward {reward} after {note.step + 1} steps")
    print(f"solved {solved} of {episodes}")
    world.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
