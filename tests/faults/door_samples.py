"""Episodes of every modality and kind of action, a small world, and damage to files."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldgpt_env.model.modalities import (
    ActionSpec,
    AudioSpec,
    ImageSpec,
    Modality,
    TextSpec,
    VectorSpec,
    VideoSpec,
)
from worldgpt_env.training.recording import Episode
from worldgpt_env.worlds import World

IMAGE, VIDEO, AUDIO, TEXT, VECTOR = Modality
T = 5
SPECS = {
    IMAGE: ImageSpec(16, 16),
    VIDEO: VideoSpec(2, 16, 16),
    AUDIO: AudioSpec(10, 2, 800),
    TEXT: TextSpec.of(["red", "blue"], 3),
    VECTOR: VectorSpec(("health", "ammo"), (0.0, -1.0), (100.0, 1.0)),
}
ACTIONS = {
    "discrete": ActionSpec("discrete", (3,), ("left", "right", "stay")),
    "multidiscrete": ActionSpec("multidiscrete", (3, 2)),
    "box": ActionSpec("box", (2,), ("gas", "wheel"), (0.0, -1.0), (1.0, 1.0)),
    "text": ActionSpec.text(["go", "left"], 2),
}
DRAWN = {
    "discrete": lambda draw, n: draw.integers(0, 3, n),
    "multidiscrete": lambda draw, n: draw.integers(0, (3, 2), (n, 2)),
    "box": lambda draw, n: draw.uniform((0, -1), (1, 1), (n, 2)).astype(np.float32),
    "text": lambda draw, n: draw.integers(0, 4, (n, 2)),
}


def moments(draw: np.random.Generator, count: int) -> dict[Modality, np.ndarray]:
    """Return ``count`` moments of every modality, the ends of each range among them."""
    low, high = np.float32((0, -1)), np.float32((100, 1))
    parts = {
        IMAGE: draw.integers(0, 256, (count, 16, 16, 3), np.uint8),
        VIDEO: draw.integers(0, 256, (count, 2, 16, 16, 3), np.uint8),
        AUDIO: draw.uniform(-1, 1, (count, 10, 2)).astype(np.float32),
        TEXT: draw.integers(0, 4, (count, 3)),
        VECTOR: draw.uniform(low, high, (count, 2)).astype(np.float32),
    }
    parts[AUDIO][0, 0], parts[TEXT][0], parts[VECTOR][0], parts[VECTOR][-1] = (-1, 1), 3, low, high
    return parts


def episode(number: int = 0, kind: str = "discrete", **changes: Any) -> Episode:
    """Return a whole episode, with ``changes``."""
    draw = np.random.default_rng(number)
    parts: dict[str, Any] = {
        "observations": moments(draw, T + 1),
        "actions": DRAWN[kind](draw, T),
        "rewards": draw.normal(size=T).astype(np.float32),
        "terminated": True,
        "truncated": False,
        "seed": number,
    }
    return Episode(**(parts | changes))


def equal(one: Episode, other: Episode) -> bool:
    """Return whether two episodes are the same to the last bit."""
    arrays = [(one.actions, other.actions), (one.rewards, other.rewards)]
    for name in ("observations", "present"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert set(ours) == set(theirs)
        arrays += [(ours[modality], theirs[modality]) for modality in ours]
    same = all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in arrays)
    names = ("terminated", "truncated", "seed", "scenario")
    return same and all(
        type(getattr(one, name)) is type(getattr(other, name))
        and getattr(one, name) == getattr(other, name)
        for name in names
    )


class Walk(World):
    """Six places in a row, for four steps."""

    world_name = "walk"
    options = ()
    spec = VectorSpec(("place", "time"), (0.0, 0.0), (5.0, 4.0))

    def __init__(self) -> None:
        specs = {IMAGE: ImageSpec(16, 16), TEXT: TextSpec.of(["here"], 2), VECTOR: self.spec}
        self._declare(specs, ("back", "on"), None)

    def _reset(self) -> Any:
        self.place, self.time = int(self.np_random.integers(6)), 0
        return self.see(), "here"

    def _step(self, action: int) -> Any:
        self.place = min(max(self.place + 2 * action - 1, 0), 5)
        self.time += 1
        return self.see(), 0.5, False, self.time == 4, "here"

    def see(self) -> Any:
        return {
            "image": np.full((16, 16, 3), 40 * self.place, np.uint8),
            "text": np.array([2, 0]),
            "vector": np.float32([self.place, self.time]),
        }


def damaged(data: bytes, draw: np.random.Generator) -> bytes:
    """Return ``data`` with one damage."""
    place, length = int(draw.integers(len(data))), int(draw.integers(1, 64))
    kind = draw.integers(5)
    if kind == 0:  # one bit
        return data[:place] + bytes([data[place] ^ 1 << draw.integers(8)]) + data[place + 1 :]
    if kind == 1:  # cut off, as by a power cut
        return data[:place]
    if kind == 2:  # zeros, as by a power cut
        return data[:place] + bytes(min(length, len(data) - place)) + data[place + length :]
    if kind == 3:  # a part is gone
        return data[:place] + data[place + length :]
    return data[:place] + draw.bytes(length) + data[place:]
