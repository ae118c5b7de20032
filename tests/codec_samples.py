"""What the tests of the codecs read: small observations of every kind, and a training loop."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from worldgpt_env.model.codecs import Codec
from worldgpt_env.model.modalities import (
    AudioSpec,
    ImageSpec,
    ModalitySpec,
    TextSpec,
    VectorSpec,
    VideoSpec,
)

IMAGE = ImageSpec(32, 48)
AUDIO = AudioSpec(1260, 2, 11025)
TEXT = TextSpec.of(["ammo", "gun", "ready"], 4)
VIDEO = VideoSpec(3, 32, 48)
VECTOR = VectorSpec(("ammo", "speed", "place", "score"), (0, -8, -1.5, 0), (50, 8, 1.5, 1e5))
SPECS = (IMAGE, VIDEO, AUDIO, TEXT, VECTOR)
SMALL = {"width": 64, "updates": 150, "batch_size": 32, "rarity": 0.0}


def background() -> Tensor:
    """A brown pattern ``(32, 48, 3)``."""
    rows = torch.arange(32)[:, None, None]
    return (rows * 2 + torch.tensor([90, 70, 50])).expand(32, 48, 3).to(torch.uint8)


def moving_squares(count: int, seed: int = 0) -> Tensor:
    """Images ``(count, 32, 48, 3)``: a blue square of 6 pixels anywhere on a brown pattern."""
    draw = torch.Generator().manual_seed(seed)
    images = background().expand(count, 32, 48, 3).clone()
    for image in images:
        y = int(torch.randint(0, 27, (), generator=draw))
        x = int(torch.randint(0, 43, (), generator=draw))
        image[y : y + 6, x : x + 6] = torch.tensor([20, 30, 250], dtype=torch.uint8)
    return images


def moving_clips(count: int, seed: int = 0) -> Tensor:
    """Clips ``(count, 3, 32, 48, 3)``: a blue square that moves 4 pixels a frame, left or right."""
    draw = torch.Generator().manual_seed(seed)
    clips = background().expand(count, 3, 32, 48, 3).clone()
    for clip in clips:
        y = int(torch.randint(0, 27, (), generator=draw))
        x = int(torch.randint(8, 35, (), generator=draw))
        step = 4 if float(torch.rand((), generator=draw)) < 0.5 else -4
        for number, frame in enumerate(clip):
            left = x + step * number
            frame[y : y + 6, left : left + 6] = torch.tensor([20, 30, 250], dtype=torch.uint8)
    return clips


def bursts(count: int, seed: int = 0) -> Tensor:
    """Sounds ``(count, 1260, 2)``: bursts of noise at any time and from any side, over a hum."""
    draw = torch.Generator().manual_seed(seed)
    time = torch.arange(1260) / 11025
    sounds = 0.01 * torch.sin(2 * math.pi * 440 * time)[None, :, None].repeat(count, 1, 2)
    for sound in sounds:
        start = int(torch.randint(0, 800, (), generator=draw))
        side = float(torch.rand((), generator=draw))
        noise = 0.3 * torch.randn(300, generator=draw)
        sound[start : start + 300, 0] += noise * side
        sound[start : start + 300, 1] += noise * (1 - side)
    return sounds.clamp(-1, 1)


def numbers(count: int) -> Tensor:
    """Whole counters, thirds, any numbers, and numbers over five orders of magnitude."""
    step = torch.arange(count)
    columns = (step % 51, step % 17 - 8, torch.linspace(-1.5, 1.5, count), 10 ** (step % 6))
    return torch.stack([column.float() for column in columns], 1)


def samples(spec: ModalitySpec, count: int = 40) -> Tensor:
    """Observations of ``spec``."""
    if isinstance(spec, ImageSpec):
        return moving_squares(count)
    if isinstance(spec, VideoSpec):
        return moving_clips(count)
    if isinstance(spec, AudioSpec):
        return bursts(count)
    if isinstance(spec, TextSpec):
        return torch.randint(0, len(spec.vocabulary), (count, spec.slots))
    return numbers(count)


def train(codec: Codec, raw: Tensor) -> None:
    """Train ``codec`` on ``raw`` for its own number of updates."""
    draw = torch.Generator().manual_seed(0)
    settings = codec.config
    codec.fit_statistics(raw)
    optimizer = torch.optim.AdamW(codec.parameters(), settings.learning_rate)
    codec.train()
    for update in range(settings.updates):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * (1 - update / settings.updates)
        chosen = torch.randint(0, len(raw), (settings.batch_size,), generator=draw)
        optimizer.zero_grad()
        codec(raw[chosen]).loss.backward()
        optimizer.step()
    codec.eval()
