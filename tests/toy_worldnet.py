"""A WorldNet in memory: a square that moves along a row and hums, with words as actions."""

from __future__ import annotations

from pathlib import Path
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
    VideoSpec,
)
from worldgpt_env.training.dataset import Episode
from worldgpt_env.training.recording import Recording

PLACES = 6
SPECS: dict[Modality, ModalitySpec] = {
    Modality.IMAGE: ImageSpec(16, 32),
    Modality.VIDEO: VideoSpec(2, 16, 32),
    Modality.AUDIO: AudioSpec(400, 1, 8000),
    Modality.TEXT: TextSpec.of([f"place{n}" for n in range(PLACES)], 2),
}
ACTION = ActionSpec.text(["wait", "go", "left", "right"], 2)
MOVES = {"wait": 0, "go left": -1, "go right": 1}


def episode(scenario: str, seed: int, steps: int = 8, silent: bool = False) -> Episode:
    """Return one episode; in ``"night"`` the square is blue and the tone an octave lower."""
    draw, spec = np.random.default_rng([seed, len(scenario)]), SPECS[Modality.TEXT]
    assert isinstance(spec, TextSpec)
    place, moments, actions = int(draw.integers(PLACES)), [], []
    for _ in range(steps + 1):
        image = np.full((16, 32, 3), 20, np.uint8)
        image[4:12, 5 * place : 5 * place + 5, 2 if scenario == "night" else 0] = 230
        pitch = (300 + 250 * place) * (0.5 if scenario == "night" else 1.0)
        tone = 0.5 * np.sin(2 * np.pi * pitch * np.arange(400) / 8000)
        moments.append((image, tone[:, None].astype(np.float32), spec.encode(f"place{place}")))
        actions.append(str(draw.choice(list(MOVES))))
        place = min(max(place + MOVES[actions[-1]], 0), PLACES - 1)
    image, tone, words = (np.stack(part) for part in zip(*moments, strict=True))
    before = np.concatenate([image[:1], image[:-1]])
    return Episode(
        {
            Modality.IMAGE: image,
            Modality.VIDEO: np.stack([before, image], 1),
            Modality.AUDIO: tone,
            Modality.TEXT: words,
        },
        np.stack([ACTION.vocabulary.encode(text) for text in actions[:-1]]),
        np.zeros(steps, np.float32),
        terminated=False,
        truncated=True,
        seed=seed,
        present={Modality.AUDIO: np.zeros(steps + 1, bool)} if silent else {},
        scenario=scenario,
    )


def recording(first: int, count: int, silent: bool = False) -> Recording:
    """Return ``count`` episodes of each of two scenarios."""
    episodes = [
        episode(name, seed, silent=silent)
        for seed in range(first, first + count)
        for name in ("day", "night")
    ]
    return Recording("toy", SPECS, ACTION, episodes)


def build_model(
    seed: int = 0, modalities: tuple[Modality, ...] = tuple(SPECS), **settings: Any
) -> WorldGPT:
    """Return a model with random weights whose codecs tell the moments apart."""
    torch.manual_seed(seed)
    specs = {m: SPECS[m] for m in modalities}
    model = WorldGPT(WorldGPTConfig.from_preset("tiny", specs, ACTION, world="toy", **settings))
    seen = recording(0, 6)
    with torch.no_grad():
        for parameter in model.processor.codecs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        for modality in modalities:
            codec = model.codec(modality).train()
            raw = torch.from_numpy(
                np.concatenate([e.observations[modality] for e in seen.episodes])
            )
            codec.fit_statistics(raw)
            for _ in range(20 if codec.trainable else 0):
                codec(raw)  # the running means of the digits
    return model.eval()


def save_model(folder: Path, **settings: Any) -> str:
    """Write a model to ``folder`` and return its name."""
    build_model(**settings).save_pretrained(folder)
    return str(folder)
