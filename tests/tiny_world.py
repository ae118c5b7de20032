"""A tiny world with every modality, a model of it with random weights, and start states."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from worldgpt_env.model import WorldGPT, WorldGPTConfig
from worldgpt_env.model.modalities import (
    ActionSpec,
    AudioSpec,
    ImageSpec,
    Modality,
    ModalitySpec,
    TextSpec,
    VectorSpec,
)
from worldgpt_env.start_states import StartStates
from worldgpt_env.worlds import World

WORDS = "the door is open closed you see a red blue key nothing".split()
SENTENCES = ("the door is open", "the door is closed", "you see a red key", "you see nothing")
SPECS: dict[Modality, ModalitySpec] = {
    Modality.IMAGE: ImageSpec(32, 32),
    Modality.AUDIO: AudioSpec(400, 2, 8000),
    Modality.TEXT: TextSpec.of(WORDS, 6),
    Modality.VECTOR: VectorSpec(("health", "ammo"), (0.0, -1.0), (100.0, 1.0)),
}
ACTIONS = {
    "discrete": ActionSpec("discrete", (3,), ("turn left", "turn right", "go")),
    "multidiscrete": ActionSpec("multidiscrete", (3, 2)),
    "box": ActionSpec("box", (2,), (), (-1.0, 0.0), (1.0, 2.0)),
    "text": ActionSpec.text("move left right fire wait".split(), 3),
}


class TinyWorld(World):
    """Random moments for ten steps; the third action ends it."""

    world_name = "tiny"
    options = ()

    def __init__(self) -> None:
        self._declare(SPECS, ACTIONS["discrete"].names, None)

    def _reset(self) -> tuple[dict[str, np.ndarray], str]:
        self._time = 0
        return self._moment()

    def _step(self, action: int) -> tuple[dict[str, np.ndarray], float, bool, bool, str]:
        self._time += 1
        observation, text = self._moment()
        return observation, float(action), action == 2, action != 2 and self._time == 10, text

    def _moment(self) -> tuple[dict[str, np.ndarray], str]:
        draw = self.np_random
        text = SENTENCES[int(draw.integers(len(SENTENCES)))]
        image = np.zeros((32, 32, 3), np.uint8)
        row, column = draw.integers(0, 24, 2)
        image[row : row + 8, column : column + 8] = draw.integers(100, 256, 3)
        tone = np.sin(np.arange(400) * draw.uniform(0.1, 1.0))[:, None] * draw.uniform(0, 0.9, 2)
        spec = SPECS[Modality.TEXT]
        assert isinstance(spec, TextSpec)
        return {
            "image": image,
            "audio": tone.astype(np.float32),
            "text": spec.encode(text),
            "vector": draw.uniform((0, -1), (100, 1)).astype(np.float32),
        }, text


@dataclass
class TinyEpisode:
    """One recorded episode."""

    observations: dict[Modality, np.ndarray]
    rewards: np.ndarray
    present: dict[Modality, np.ndarray] = field(default_factory=dict)
    terminated: bool = True
    scenario: str = ""

    @property
    def actions(self) -> np.ndarray:
        """The first action at every step, ``(T,)``."""
        return np.zeros(len(self.rewards), np.int64)


@dataclass
class TinyRecording:
    """Recorded episodes."""

    episodes: list[TinyEpisode]


@lru_cache
def tiny_recording() -> TinyRecording:
    """Return eight episodes of the world under random actions."""
    world, episodes = TinyWorld(), []
    world.action_space.seed(0)
    for seed in range(8):
        moments, rewards, ended = [world.reset(seed=seed)[0]], [], False
        while not ended:
            observation, reward, terminated, truncated, _ = world.step(world.action_space.sample())
            moments.append(observation)
            rewards.append(reward)
            ended = terminated or truncated
        observations = {m: np.stack([o[str(m)] for o in moments]) for m in SPECS}
        episodes.append(TinyEpisode(observations, np.array(rewards, np.float32)))
    return TinyRecording(episodes)


def build_model(
    action: str = "discrete", modalities: tuple[Modality, ...] = tuple(SPECS), **settings: Any
) -> WorldGPT:
    """Return a model whose codecs know the recording and whose other weights are random.

    Its world ends with about one step in four.
    """
    torch.manual_seed(0)
    specs = {modality: SPECS[modality] for modality in modalities}
    settings = {"world": "tiny", "horizon": 12} | settings
    model = WorldGPT(WorldGPTConfig.from_preset("tiny", specs, ACTIONS[action], **settings))
    with torch.no_grad():
        for modality in specs:
            codec = model.codec(modality).train()
            raw = np.concatenate([e.observations[modality] for e in tiny_recording().episodes])
            codec.fit_statistics(torch.from_numpy(raw))
            for _ in range(30 if codec.trainable else 0):
                codec(torch.from_numpy(raw))  # the running means of the FSQ
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    set_end(model, -1.0)
    return model.eval()


def set_end(model: WorldGPT, logit: float) -> None:
    """Let every step end with this logit and no other."""
    *weights, bias = model.dynamics.outcome.termination_head.parameters()
    with torch.no_grad():
        for weight in weights:
            weight.zero_()
        bias.copy_(torch.tensor([0.0, logit]))  # going on, ending


def build_start_states(model: WorldGPT) -> StartStates:
    """Return the start states of the recording for ``model``."""
    episodes = [
        TinyEpisode({m: episode.observations[m] for m in model.specs}, episode.rewards)
        for episode in tiny_recording().episodes
    ]
    return StartStates.from_recording(model, TinyRecording(episodes))


def save_model(model: WorldGPT, folder: Any) -> str:
    """Save ``model`` with its start states, sealed, and return the folder as text."""
    from worldgpt_env.model.checkpoint import write_folder

    def write(draft: Any) -> None:
        model.write(draft)
        build_start_states(model).save(draft)

    write_folder(folder, write)
    return str(folder)
