"""Find the way home through nine rooms, and draw it: ``python 07_... [STEPS] [UPDATES] [LONGEST]``.

A fourth number trains the codecs for fewer updates than they would take by themselves.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from worldgpt_env import StartStates, make_world
from worldgpt_env.model.modalities import Modality
from worldgpt_env.policies.planning import Decomposition, DecompositionConfig, WaypointProposer
from worldgpt_env.training.collect import CollectConfig, collect
from worldgpt_env.training.recording import Recording
from worldgpt_env.training.train import TrainConfig, train

RECORDING, MODEL, PICTURE = (Path("runs/home") / name for name in ("recording", "model", "way.png"))
LEARN = {"outcome": "next", "rarity": 0.75, "agent_modalities": ("vector",)}


def main(
    steps: int = 100_000, updates: int = 1_000, longest: int = 525, codec: int | None = None
) -> None:
    """Record ``steps`` random steps, learn them, and go to the reward in at most ``longest``."""
    collect(CollectConfig("doom-home", steps, str(RECORDING)))
    sizes = {"updates": updates, "start_states": steps, "codec_updates": codec}
    train(TrainConfig((RECORDING,), MODEL, **sizes, **LEARN))
    config = DecompositionConfig(horizon=12, candidates=32, iterations=2, replan_every=6)
    way = WaypointProposer(StartStates.load(MODEL), "reward", every=6, near=0.03)
    planner = Decomposition(str(MODEL), way, config=config)

    lived = [e.observations[Modality.VECTOR] for e in Recording.load(RECORDING).episodes]
    picture = Image.new("RGB", (1000, 880), "white")
    draw = ImageDraw.Draw(picture)
    draw.point([spot(moment) for moments in lived for moment in moments], fill="#b8c2d6")
    world, state, ended = make_world("doom-home"), None, False
    observation, _ = world.reset(seed=3)
    walked = [spot(observation["vector"])]
    while not ended and len(walked) <= longest:
        action, state = planner.predict(observation, state)
        if len(walked) == 1:
            for place in state.queues[0].subgoals:
                there = planner.model.decode(place.state)[Modality.VECTOR][0]
                draw.circle(spot(there), 6, outline="#1450c8", width=3)
        observation, reward, terminated, truncated, _ = world.step(int(action))
        walked, ended = [*walked, spot(observation["vector"])], terminated or truncated
    draw.line(walked, fill="#dc3c28", width=4)
    picture.save(PICTURE)
    print(f"reward {reward:.2f} after {len(walked) - 1} steps; wrote {PICTURE}")


def spot(moment: np.ndarray) -> tuple[float, float]:
    """Return where ``moment`` (east, north, angle) is in the picture, in pixels."""
    return float(moment[0]) - 140, 150 - float(moment[1])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
