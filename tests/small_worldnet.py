"""A small WorldNet on disk: a dot that moves, hums and is described; made anew by each test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.modalities import (
    ActionSpec,
    AudioSpec,
    ImageSpec,
    Modality,
    ModalitySpec,
    TextSpec,
    VectorSpec,
    VideoSpec,
)
from worldgpt_env.training.worldnet.format.folder import Moment, WorldNetDescription, WorldNetWriter

SPECS: dict[Modality, ModalitySpec] = {
    Modality.IMAGE: ImageSpec(16, 24),
    Modality.VIDEO: VideoSpec(4, 16, 24),
    Modality.AUDIO: AudioSpec(200, 1, 800),
    Modality.TEXT: TextSpec.of(["dot", "left", "right"], 3),
    Modality.VECTOR: VectorSpec(("place",), (0.0,), (24.0,)),
}
ACTION = ActionSpec.text(["go", "left", "right", "wait"], 2)
DESCRIPTION = WorldNetDescription("dots", SPECS, ACTION, ("day", "night"), {"seed": 0})


def moment(place: int, **without: Any) -> Moment:
    """Return the dot at ``place``; keyword arguments replace parts."""
    frames = np.full((4, 16, 24, 3), 40, np.uint8)
    for late, frame in enumerate(frames, start=-3):
        frame[4:12, max(place + late, 0) : place + late + 4] = 200
    tone = 0.5 * np.sin(np.arange(200) * (0.1 + 0.05 * place))[:, None].astype(np.float32)
    words = "dot left" if place < 12 else "dot right"
    parts: dict[str, Any] = {
        "image": frames[-1], "video": frames, "audio": tone, "text": words, "vector": (place,)
    }  # fmt: skip
    return Moment(**(parts | without))


def write_small(root: Path, steps: int = 4, **media: Any) -> Path:
    """Write two sequences for training and one for testing; the second has no numbers."""
    with WorldNetWriter(root, DESCRIPTION, **media) as writer:
        for number, (split, scenario) in enumerate(
            [("train", "day"), ("train", "night"), ("test", "day")]
        ):
            without = {"vector": ()} if scenario == "night" else {}
            writer.add_sequence(
                split,
                [moment(3 * step + number, **without) for step in range(steps + 1)],
                ["go right"] * steps,
                scenario=scenario,
                episode=f"e{number}",
                rewards=range(steps),
                terminated=number == 1,
            )
    return root
